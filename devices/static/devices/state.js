// Keeps the head of a device's page up to date: when it was last seen at once, and the rest anew from
// the server when its session changed.
"use strict";

(() => {
  document.addEventListener("live:telemetry", ({ detail }) => {
    const state = document.querySelector("[data-session]");
    const seen = state.querySelector("[data-seen] time");
    if (seen && detail.last_seen_at) moments.set(seen, detail.last_seen_at);
    const isOther = state.dataset.session !== detail.session;
    if (isOther || !seen || state.dataset.flow === "silent") {
      document.dispatchEvent(new CustomEvent("state:new"));
    }
  });
})();
