// Shows the home page anew every 15 seconds, while there is no device every 2.5 seconds, and its
// times by the viewer's clock.
"use strict";

(() => {
  const PAUSE = 15000;
  const PAUSE_WHILE_EMPTY = 2500;
  const find = (page) => page.getElementById("home");
  const isEmpty = () => find(document).dataset.empty === "yes";

  function localize() {
    const clock = new Intl.DateTimeFormat(document.documentElement.lang || undefined, {
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
    for (const time of document.querySelectorAll("time[data-clock]")) {
      time.textContent = clock.format(new Date(time.dateTime));
    }
  }

  // What is under a finger, reached by keyboard or marked to be copied is not taken away.
  const isInUse = () =>
    getSelection().type === "Range" ||
    document.querySelector("#home :is(:active, :focus-visible)");

  async function showAnew() {
    // The command for a first device is marked to be copied until the device is there.
    if (document.hidden || (isInUse() && !isEmpty())) return;
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const shown = find(document);
    const fresh = find(page);
    // The page to log in has none, and with its first device the platform has another one.
    if (!fresh || fresh.dataset.empty !== shown.dataset.empty) location.reload();
    else if (!isInUse()) {
      for (const part of shown.querySelectorAll("details[open]")) {
        fresh.querySelector(`#${part.id}`)?.setAttribute("open", "");
      }
      shown.replaceWith(fresh);
      localize();
    }
  }

  async function keepUp() {
    localize();
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, isEmpty() ? PAUSE_WHILE_EMPTY : PAUSE));
      // A server that is away for a moment is asked again.
      await showAnew().catch(() => {});
    }
  }

  document.addEventListener("DOMContentLoaded", keepUp);
})();
