// An element with data-part holds what its address answers. It asks anew when one of the events in
// data-on comes to the document, and every data-every milliseconds.
"use strict";

(() => {
  const PAUSE = 500;

  // What is marked to be copied or reached by keyboard is not taken away.
  function isInUse(element) {
    const marked = getSelection();
    return (
      element.querySelector(":focus-visible, :active") ||
      (marked.type === "Range" && element.contains(marked.anchorNode))
    );
  }

  async function askAnew(element, retry) {
    if (document.hidden) return;
    if (isInUse(element)) {
      setTimeout(retry, 2 * PAUSE);
      return;
    }
    // Who is logged out is sent to another page.
    const answer = await fetch(element.dataset.part, { redirect: "manual" });
    if (!answer.ok) return;
    element.innerHTML = await answer.text();
    document.dispatchEvent(new CustomEvent("part:shown", { detail: element }));
  }

  for (const element of document.querySelectorAll("[data-part]")) {
    // A server that is away for a moment is asked again by the next event.
    const ask = throttled(() => askAnew(element, ask).catch(() => {}), () => PAUSE);
    for (const name of element.dataset.on.split(" ")) document.addEventListener(name, ask);
    if (element.dataset.every) setInterval(ask, Number(element.dataset.every));
  }
})();
