// A form with data-sending is sent without leaving the page. What the server found wrong with it is
// shown in it; when it went through, it is folded away with a fresh one in it, so that what comes of
// the command is in sight, and the document is told “sent”.
"use strict";

(() => {
  const form = document.querySelector("form[data-sending]");
  if (!form) return;
  const fields = form.querySelector("[data-fields]");
  const fold = form.closest("details");
  const place = form.closest("section");
  const said = place.querySelector("[data-sent]");
  const failed = form.querySelector("[data-failed]");

  // The page to send from has the same form.
  function formOf(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    return page.querySelector("form[data-sending] [data-fields]");
  }

  async function send() {
    const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
    if (!answer.ok) throw new Error(answer.statusText);
    if (!answer.redirected) return show(formOf(await answer.text()));
    document.dispatchEvent(new CustomEvent("sent"));
    show(formOf(await (await fetch(form.action)).text()));
    return end();
  }

  function show(fresh) {
    if (!fresh) throw new Error("no form");
    fields.replaceChildren(...fresh.childNodes);
    fields.querySelector("[aria-invalid=true]")?.focus();
  }

  function end() {
    fold.open = false;
    said.hidden = false;
    fold.querySelector("summary").focus({ preventScroll: true });
    if (place.getBoundingClientRect().top < 0) place.scrollIntoView();
  }

  fold.addEventListener("toggle", () => {
    if (fold.open) said.hidden = true;
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    said.hidden = failed.hidden = true;
    await send().catch(() => (failed.hidden = false));
    form.ariaBusy = "false";
  });
})();
