// Keeps the table of latest values up to date with the readings that come.
"use strict";

(() => {
  const inJSON = (value) => JSON.stringify(value);

  const rowsByKey = () =>
    new Map([...document.querySelectorAll("[data-latest] tr[data-key]")].map((row) => [row.dataset.key, row]));

  function isOut(row, value) {
    const { min, max } = row.dataset;
    if (typeof value !== "number") return false;
    return (min !== "" && value < Number(min)) || (max !== "" && value > Number(max));
  }

  function set(row, value, at) {
    // One that came late changes nothing.
    if (at < Number(row.dataset.at)) return;
    row.dataset.at = at;
    row.querySelector("[data-value]").textContent = inJSON(value);
    row.querySelector("[data-out]").hidden = !isOut(row, value);
    moments.set(row.querySelector("time"), at);
  }

  function take({ payload, ts }, rows) {
    let isAllKnown = true;
    for (const [key, value] of Object.entries(payload)) {
      if (key === "ts" || key === "msg_id") continue;
      const row = rows.get(key);
      if (row) set(row, value, Date.parse(ts));
      else isAllKnown = false;
    }
    return isAllKnown;
  }

  function isFull() {
    return document.querySelector("[data-latest]")?.dataset.latest === "full";
  }

  document.addEventListener("live:telemetry", ({ detail }) => {
    const rows = rowsByKey();
    const isAllKnown = detail.readings.map((reading) => take(reading, rows)).every(Boolean);
    if (!isAllKnown && !isFull()) document.dispatchEvent(new CustomEvent("latest:new"));
  });
})();
