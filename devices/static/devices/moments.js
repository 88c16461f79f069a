// Keeps the times of a page, said as “2 minutes ago”, true while it is open: each <time> within an
// element with data-moments has the exact one, in UTC, as its title. One with data-length is said as
// the time since, “2 minutes”. Times that are said exactly are those of the viewer's clock.
"use strict";

globalThis.moments = (() => {
  const EVERY = 5_000;
  const UNITS = [[60, "second"], [3_600, "minute"], [86_400, "hour"]];
  const language = document.documentElement.lang;
  const words = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const lengths = (unit) =>
    new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" });

  const since = (title) => Date.now() - Date.parse(title.replace(" UTC", "Z").replace(" ", "T"));

  // What is a day and more ago stays in the server's words.
  function show(time) {
    const seconds = Math.max(0, since(time.title) / 1000);
    const known = UNITS.findIndex(([limit]) => seconds < limit);
    if (known < 0) return;
    const length = known ? UNITS[known - 1][0] : 1;
    const count = Math.floor(seconds / length);
    const unit = UNITS[known][1];
    time.textContent =
      "length" in time.dataset ? lengths(unit).format(count) : words.format(-count, unit);
  }

  function set(time, at) {
    time.title = new Date(at).toISOString().replace("T", " ").replace("Z", " UTC");
    show(time);
  }

  // As 2026-11-27 07:32:59; `at` is in milliseconds since 1970.
  function exact(at) {
    const date = new Date(at);
    const two = (number) => String(number).padStart(2, "0");
    const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
    const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
    return `${day} ${clock}`;
  }

  function showAll() {
    for (const time of document.querySelectorAll("[data-moments] time[title$=UTC]")) show(time);
  }

  setInterval(showAll, EVERY);
  return { set, exact };
})();
