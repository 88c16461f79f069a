// A form with data-sending is sent without leaving the page. What the server found wrong with it is
// shown in it; when it went through, a fresh form stands there, and the document is told “sent”.
"use strict";

(() => {
  const form = document.querySelector("form[data-sending]");
  if (!form) return;
  const fields = form.querySelector("[data-fields]");
  const said = form.querySelector("[data-sent]");
  const failed = form.querySelector("[data-failed]");

  // The page to send from has the same form.
  function formOf(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    return page.querySelector("form[data-sending] [data-fields]");
  }

  async function send() {
    const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
    if (!answer.ok) throw new Error(answer.statusText);
    if (!answer.redirected) return show(formOf(await answer.text()), false);
    document.dispatchEvent(new CustomEvent("sent"));
    return show(formOf(await (await fetch(form.action)).text()), true);
  }

  function show(fresh, isSent) {
    if (!fresh) throw new Error("no form");
    fields.replaceChildren(...fresh.childNodes);
    said.hidden = !isSent;
    const first = fields.querySelector("[aria-invalid=true]") ?? fields.querySelector("[name=cmd]");
    first?.focus();
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    said.hidden = failed.hidden = true;
    await send().catch(() => (failed.hidden = false));
    form.ariaBusy = "false";
  });
})();
