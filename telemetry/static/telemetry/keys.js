// The choice of keys for a chart: a list of boxes, of which a few at once can be checked.
"use strict";

globalThis.KeyChoice = class {
  static MOST = 8;
  static FEW = 12;

  // `element` has a template of one box; `onChange` gets the keys that are checked.
  constructor(element, onChange) {
    this.list = element.querySelector("[data-list]");
    this.template = element.querySelector("template");
    this.filter = element.querySelector("[data-filter]");
    this.full = element.querySelector("[data-full]");
    this.count = element.querySelector("[data-count]");
    this.list.addEventListener("change", () => {
      this.limit();
      onChange(this.checked);
    });
    this.filter.addEventListener("input", () => this.narrow());
    // It lies above what comes after it.
    document.addEventListener("click", ({ target }) => {
      if (!element.contains(target)) element.open = false;
    });
    element.addEventListener("keydown", ({ key }) => {
      if (key === "Escape") element.open = false;
    });
  }

  get boxes() {
    return [...this.list.querySelectorAll("input")];
  }

  get checked() {
    return this.boxes.filter((box) => box.checked).map((box) => box.value);
  }

  show(keys, chosen) {
    for (const { key, label, unit } of keys) {
      const item = this.template.content.cloneNode(true);
      const box = item.querySelector("input");
      box.value = key;
      box.checked = chosen.includes(key);
      item.querySelector("[data-label]").textContent = unit ? `${label} (${unit})` : label;
      this.list.append(item);
    }
    this.filter.hidden = this.boxes.length <= KeyChoice.FEW;
    this.limit();
  }

  limit() {
    const count = this.checked.length;
    for (const box of this.boxes) box.disabled = !box.checked && count >= KeyChoice.MOST;
    this.full.hidden = count < KeyChoice.MOST;
    this.count.textContent = count;
  }

  narrow() {
    const wanted = this.filter.value.toLowerCase();
    for (const item of this.list.children) {
      item.hidden = !item.textContent.toLowerCase().includes(wanted);
    }
  }
};
