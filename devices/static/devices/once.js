// A form with data-once, whose answer is a file, so that the page stays, is sent once; then it shows
// its element data-once-said.
"use strict";

(() => {
  function end(form) {
    for (const button of form.querySelectorAll("[type=submit]")) {
      button.disabled = true;
      button.classList.add("cursor-not-allowed", "opacity-50");
    }
    for (const said of form.querySelectorAll("[data-once-said]")) said.hidden = false;
  }

  for (const form of document.querySelectorAll("form[data-once]")) {
    // Not before it is on its way.
    form.addEventListener("submit", () => setTimeout(() => end(form)));
  }
})();
