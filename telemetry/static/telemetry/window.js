// What a chart shows: which keys, and a time that ends now or that was chosen. The address of the page
// keeps it, so that it can be passed on.
"use strict";

globalThis.ChartWindow = class {
  static SHORTEST = 10_000;

  // `clock` says what time it is, for the server; `ranges` are the seconds that can be chosen.
  constructor(clock, ranges, possible, usual) {
    this.clock = clock;
    this.ranges = ranges;
    this.zooms = [];
    this.read(new URLSearchParams(location.search), possible, usual);
  }

  read(asked, possible, usual) {
    const named = (asked.get("keys") ?? "").split(",").filter((key) => possible.includes(key));
    this.keys = named.length ? named : usual;
    const seconds = Number(asked.get("range"));
    this.range = this.ranges.includes(seconds) ? seconds : this.ranges[1];
    const [from, to] = ["from", "to"].map((name) => Date.parse(asked.get(name)));
    if (from < to) this.zooms.push({ from, to });
  }

  get isLive() {
    return !this.zooms.length;
  }

  // In milliseconds.
  get shown() {
    const now = this.clock();
    return this.zooms.at(-1) ?? { from: now - this.range * 1000, to: now };
  }

  choose(range) {
    this.range = range;
    this.zooms = [];
    this.write();
  }

  zoom(from, to) {
    const middle = (from + to) / 2;
    const half = Math.max(to - from, ChartWindow.SHORTEST) / 2;
    this.zooms.push({ from: Math.round(middle - half), to: Math.round(middle + half) });
    this.write();
  }

  // By `factor` of its length around its middle, and by `shift` of its length later.
  move(factor, shift) {
    const { from, to } = this.shown;
    const length = to - from;
    const middle = (from + to) / 2 + shift * length;
    const half = (factor * length) / 2;
    // What is ahead of now there is no need to see.
    const late = Math.max(0, middle + half - this.clock());
    this.zoom(middle - half - late, middle + half - late);
  }

  back() {
    this.zooms.pop();
    this.write();
  }

  setKeys(keys) {
    this.keys = keys;
    this.write();
  }

  write() {
    const asked = new URLSearchParams(location.search);
    const zoom = this.zooms.at(-1);
    asked.set("keys", this.keys.join(","));
    asked.set("range", this.range);
    for (const end of ["from", "to"]) {
      if (zoom) asked.set(end, new Date(zoom[end]).toISOString());
      else asked.delete(end);
    }
    history.replaceState(history.state, "", `?${asked}`);
  }
};
