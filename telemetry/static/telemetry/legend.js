// Beside a chart: what its colours mean, and the values under the cursor or else the newest ones.
"use strict";

globalThis.Legend = class {
  // Digits beyond these are what a computer makes of a fraction.
  static DIGITS = 6;
  // Into so many parts the values that are shown are told apart.
  static PARTS = 200;
  // So many decimals are never too many.
  static FEW = 2;

  // `element` has a template of one line.
  constructor(element) {
    this.list = element.querySelector("[data-list]");
    this.template = element.querySelector("template");
    this.at = element.querySelector("[data-at]");
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

  // How many decimals the device sends, and how many tell values apart that differ as these do.
  static decimalsOf(readings) {
    const decimals = (value) => `${Number(value.toPrecision(Legend.DIGITS))}`.split(".")[1]?.length ?? 0;
    let [sent, least, greatest] = [0, Infinity, -Infinity];
    for (const value of readings) {
      if (value == null) continue;
      sent = Math.max(sent, decimals(value));
      least = Math.min(least, value);
      greatest = Math.max(greatest, value);
    }
    const spread = greatest - least;
    const telling = spread > 0 ? Math.ceil(-Math.log10(spread / Legend.PARTS)) : 0;
    return [sent, Math.max(Legend.FEW, telling)];
  }

  learn(data) {
    this.data = data;
    this.formats = this.keys.map((_, number) => {
      const readings = data.slice(3 * number + 2, 3 * number + 4).flat();
      const [sent, most] = Legend.decimalsOf(readings);
      return [sent + 1, sent].map((decimals) => plot.rounded(Math.min(decimals, most)));
    });
  }

  // `indexes` are those of the values of each series; without them, of the newest ones.
  show(data, indexes) {
    if (data !== this.data) this.learn(data);
    this.keys.forEach((key, number) => {
      const first = 3 * number + 1;
      const index = indexes ? indexes[first] : data[first].findLastIndex((value) => value != null);
      const found = index == null ? [] : data.slice(first, first + 3).map((each) => each[index]);
      this.values[number].textContent = found[0] == null ? "–" : this.inWords(found, key.unit, this.formats[number]);
    });
    const hovered = indexes?.find((index) => index != null);
    this.at.textContent = hovered == null ? "" : moments.exact(data[0][hovered] * 1000);
  }

  // A mean of several has one decimal more than they have, if that tells something.
  inWords([mean, least, greatest], unit, [ofMean, ofReadings]) {
    const [from, to] = [least, greatest].map((value) => ofReadings.format(value));
    const said = least === greatest ? from : ofMean.format(mean);
    const band = least === greatest ? "" : ` (${from} – ${to})`;
    return `${said}${unit ? ` ${unit}` : ""}${band}`;
  }
};
