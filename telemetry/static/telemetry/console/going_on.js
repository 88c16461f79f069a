// A form with data-go-on is sent by itself after a moment, unless its button data-stop is pressed.
"use strict";

(() => {
  const MOMENT = 700;
  for (const form of document.querySelectorAll("form[data-go-on]")) {
    const stop = form.querySelector("[data-stop]");
    const timer = setTimeout(() => form.requestSubmit(), MOMENT);
    form.addEventListener("submit", () => {
      clearTimeout(timer);
      for (const button of form.querySelectorAll("button")) button.disabled = true;
    });
    stop.hidden = false;
    stop.addEventListener("click", () => {
      clearTimeout(timer);
      stop.hidden = true;
      form.querySelector("[type=submit]").focus();
    });
  }
})();
