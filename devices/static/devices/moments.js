// Keeps the times of a page, said as “2 minutes ago”, true while it is open: each <time> within an
// element with data-moments has the exact one, in UTC, as its title.
"use strict";

globalThis.moments = (() => {
  const EVERY = 5_000;
  const UNITS = [[60, "second"], [3_600, "minute"], [86_400, "hour"]];
  const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });

  const since = (title) => Date.now() - Date.parse(title.replace(" UTC", "Z").replace(" ", "T"));

  // What is a day and more ago stays in the server's words.
  function show(time) {
    const seconds = Math.max(0, since(time.title) / 1000);
    const known = UNITS.findIndex(([limit]) => seconds < limit);
    if (known < 0) return;
    const length = known ? UNITS[known - 1][0] : 1;
    time.textContent = words.format(-Math.floor(seconds / length), UNITS[known][1]);
  }

  function set(time, at) {
    time.title = new Date(at).toISOString().replace("T", " ").replace("Z", " UTC");
    show(time);
  }

  function showAll() {
    for (const time of document.querySelectorAll("[data-moments] time[title$=UTC]")) show(time);
  }

  setInterval(showAll, EVERY);
  return { set };
})();
