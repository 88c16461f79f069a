// A button with data-copy copies the text of the element that it names; where a browser does not let
// it, as without TLS, the text is selected.
"use strict";

(() => {
  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: copy it with Ctrl+C or ⌘C";
    }
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(button));
  }
})();
