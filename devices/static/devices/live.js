// Shows a page anew every two seconds, as long as it has an element with the attribute data-live.
"use strict";

(() => {
  const PAUSE = 2000;

  // What is under a finger, reached by keyboard or marked to be copied is not taken away.
  const isInUse = () =>
    getSelection().type === "Range" ||
    document.querySelector("#content-main :is(:active, :focus-visible)");

  async function showAnew() {
    if (document.hidden || isInUse()) return;
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const content = page.getElementById("content-main");
    // The page to log in has none.
    if (!content) location.reload();
    else if (!isInUse()) document.getElementById("content-main").replaceWith(content);
  }

  async function keepUp() {
    while (document.querySelector("[data-live]")) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      // A server that is away for a moment is asked again.
      await showAnew().catch(() => {});
    }
  }

  document.addEventListener("DOMContentLoaded", keepUp);
})();
