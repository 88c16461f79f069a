// The raw readings of the time that the chart shows, page by page, the newest first; and the links
// that export them.
"use strict";

(() => {
  const root = document.querySelector("[data-readings]");
  if (!root) return;
  const PAUSE = 1000;
  const LIMIT = 20;
  const find = (name) => root.querySelector(`[data-${name}]`);
  const template = root.querySelector("template");
  let shown = null;
  let pages = [];
  let next = null;
  let request = 0;

  // In the time that a live chart shows, “now” moves on.
  function parameters() {
    const length = shown.to - shown.from;
    const to = shown.isLive ? Date.now() + 86_400_000 : shown.to;
    const from = shown.isLive ? Date.now() - length : shown.from;
    return { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  }

  const address = (path, more) => `${path}?${new URLSearchParams({ ...parameters(), ...more })}`;

  // Time and id, which have places of their own, would take all the room there is on a phone.
  const inBrief = ({ ts, msg_id, ...values }) => JSON.stringify(values);

  function rowOf({ ts, msg_id, payload }) {
    const row = template.content.cloneNode(true);
    const time = row.querySelector("time");
    time.title = ts;
    time.textContent = moments.exact(Date.parse(ts));
    row.querySelector("[data-brief]").textContent = inBrief(payload);
    row.querySelector("[data-whole]").textContent = JSON.stringify(payload, null, 2);
    row.querySelector("[data-id]").textContent = msg_id;
    return row;
  }

  const linkTo = (rel, header) => header?.match(new RegExp(`<([^>]+)>; rel="${rel}"`))?.[1] ?? null;

  async function load() {
    const number = ++request;
    const answer = await fetch(pages.at(-1) ?? address(root.dataset.readings, { limit: LIMIT }));
    if (!answer.ok) throw new Error(answer.statusText);
    const readings = await answer.json();
    if (number !== request) return;
    next = linkTo("next", answer.headers.get("Link"));
    find("rows").replaceChildren(...readings.map(rowOf));
    find("nothing").hidden = readings.length > 0;
    find("table").hidden = !readings.length;
    find("next").disabled = !next;
    find("first").disabled = !pages.length;
    find("failed").hidden = true;
  }

  const show = () => load().catch(() => (find("failed").hidden = false));
  const showAnew = throttled(show, () => PAUSE);

  function isRead() {
    return root.querySelector("details[open]") || getSelection().type === "Range";
  }

  find("next").addEventListener("click", () => {
    pages.push(next);
    show();
  });
  find("first").addEventListener("click", () => {
    pages = [];
    show();
  });
  for (const link of root.querySelectorAll("[data-export]")) {
    const renew = () => (link.href = address(link.dataset.export, { as: link.dataset.as }));
    for (const name of ["pointerenter", "focus", "click"]) link.addEventListener(name, renew);
  }
  document.addEventListener("chart:shown", ({ detail }) => {
    const isSame = shown && JSON.stringify(shown) === JSON.stringify(detail);
    shown = detail;
    pages = [];
    for (const link of root.querySelectorAll("[data-export]")) link.dispatchEvent(new Event("focus"));
    if (!isSame) show();
  });
  // Only the first page moves, and not while somebody reads in it.
  document.addEventListener("live:telemetry", () => {
    if (shown?.isLive && !pages.length && !isRead()) showAnew();
  });
  document.addEventListener("live:ready", () => shown && !pages.length && showAnew());
})();
