// Listens to the addresses in data-streams for what happens now, and tells the document: live:telemetry
// and live:command with what the server says, live:ready when it begins, live:reset when something
// may have been missed. Of its elements with data-said it shows the one that says how it goes.
"use strict";

(() => {
  const AGAIN = 15_000;
  const NAMES = ["telemetry", "command", "reset"];
  const element = document.querySelector("[data-streams]");
  if (!element) return;
  let sources = [];
  let openings = 0;
  let timer = 0;
  let isOver = false;

  const tell = (name, detail) =>
    document.dispatchEvent(new CustomEvent(`live:${name}`, { detail }));

  function say(what) {
    for (const each of element.querySelectorAll("[data-said]")) {
      each.hidden = each.dataset.said !== what;
    }
    element.dataset.state = what;
  }

  function close() {
    clearTimeout(timer);
    for (const source of sources) source.close();
    sources = [];
  }

  function open() {
    close();
    if (isOver || document.hidden) return;
    const begins = openings++ ? "reset" : "ready";
    const silent = new Set();
    sources = JSON.parse(element.dataset.streams).map((address) => {
      const source = listen(address);
      silent.add(source);
      source.addEventListener("ready", () => {
        // One that the browser took up again goes on where it was.
        if (silent.delete(source) && !silent.size) tell(begins);
        if (!silent.size) say("live");
      });
      return source;
    });
  }

  function listen(address) {
    const source = new EventSource(address);
    for (const name of NAMES) {
      source.addEventListener(name, (event) => tell(name, JSON.parse(event.data)));
    }
    source.addEventListener("closed", end);
    source.addEventListener("error", () => falter(source));
    return source;
  }

  function falter(source) {
    const isRefused = source.readyState === EventSource.CLOSED;
    say(isRefused ? "refused" : "broken");
    // The browser does not ask again for what was refused.
    if (isRefused) {
      close();
      timer = setTimeout(open, AGAIN);
    }
  }

  function end() {
    isOver = true;
    close();
    say("closed");
  }

  // A page that nobody looks at takes no place from others.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  open();
})();
