// Beside a chart: what its colours mean, and the values under the cursor or else the newest ones.
"use strict";

globalThis.Legend = class {
  // `element` has a template of one line.
  constructor(element) {
    this.list = element.querySelector("[data-list]");
    this.template = element.querySelector("template");
    this.at = element.querySelector("[data-at]");
    this.format = new Intl.DateTimeFormat(document.documentElement.lang, {
      dateStyle: "medium",
      timeStyle: "medium",
    });
    const zone = element.querySelector("[data-zone]");
    zone.textContent = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  }

  begin(keys, colours) {
    this.keys = keys;
    this.list.replaceChildren(
      ...keys.map(({ label }, number) => {
        const line = this.template.content.cloneNode(true);
        line.querySelector("[data-colour]").style.background = colours[number % colours.length];
        line.querySelector("[data-label]").textContent = label;
        return line;
      }),
    );
    this.values = this.list.querySelectorAll("[data-value]");
  }

  // `indexes` are those of the values of each series; without them, of the newest ones.
  show(data, indexes) {
    this.keys.forEach((key, number) => {
      const first = 3 * number + 1;
      const index = indexes ? indexes[first] : data[first].findLastIndex((value) => value != null);
      const found = index == null ? [] : data.slice(first, first + 3).map((each) => each[index]);
      this.values[number].textContent = found[0] == null ? "–" : this.inWords(found, key.unit);
    });
    const hovered = indexes?.find((index) => index != null);
    this.at.textContent = hovered == null ? "" : this.format.format(data[0][hovered] * 1000);
  }

  inWords([mean, least, greatest], unit) {
    const [said, from, to] = [mean, least, greatest].map((value) => plot.numbers.format(value));
    const band = least === greatest ? "" : ` (${from} – ${to})`;
    return `${said}${unit ? ` ${unit}` : ""}${band}`;
  }
};
