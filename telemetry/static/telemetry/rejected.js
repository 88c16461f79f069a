// The newest rejected messages of a device that nobody has dealt with.
"use strict";

(() => {
  const root = document.querySelector("[data-rejected]");
  if (!root) return;
  const EVERY = 30_000;
  const find = (name) => root.querySelector(`[data-${name}]`);

  function rowOf({ id, reason, detail, received_at }) {
    const row = root.querySelector("template").content.cloneNode(true);
    const link = row.querySelector("a");
    link.href = link.dataset.page.replace(root.dataset.any, id);
    link.textContent = reason;
    row.querySelector("[data-detail]").textContent = detail;
    moments.set(row.querySelector("time"), received_at);
    return row;
  }

  async function show() {
    if (document.hidden) return;
    const answer = await fetch(root.dataset.rejected);
    if (!answer.ok) throw new Error(answer.statusText);
    const messages = await answer.json();
    find("rows").replaceChildren(...messages.map(rowOf));
    find("none").hidden = messages.length > 0;
    find("table").hidden = !messages.length;
    find("failed").hidden = true;
  }

  const attempt = () => show().catch(() => (find("failed").hidden = false));
  setInterval(attempt, EVERY);
  attempt();
})();
