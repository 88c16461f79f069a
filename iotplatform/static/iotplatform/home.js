// Shows the home page anew every 15 seconds, and its times by the viewer's clock.
"use strict";

(() => {
  const PAUSE = 15000;
  const find = (page) => page.getElementById("home");

  function localize() {
    const clock = new Intl.DateTimeFormat(document.documentElement.lang || undefined, {
      hour: "2-digit",
      minute: "2-digit",
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
    if (document.hidden || isInUse()) return;
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
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      // A server that is away for a moment is asked again.
      await showAnew().catch(() => {});
    }
  }

  document.addEventListener("DOMContentLoaded", keepUp);
})();
