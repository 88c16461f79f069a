// The steps of a chart: loaded whole when what is shown changes, and from where readings came, in the
// past too, when they come.
"use strict";

globalThis.Loading = class {
  static AHEAD = 60_000;

  // `onData` gets the steps, `onFault` nothing.
  constructor(address, view, { onData, onFault }) {
    Object.assign(this, { address, view, onData, onFault });
    this.loaded = null;
    this.dirty = Infinity;
    this.isAsking = false;
    this.catchUp = throttled(() => this.loadTail(), () => this.pause);
  }

  // A step of hours need not be loaded every second.
  get pause() {
    return Math.min(Math.max((this.loaded?.interval ?? 0) * 100, 1000), 30_000);
  }

  // A device's clock may be a little ahead.
  get end() {
    return this.view.shown.to + (this.view.isLive ? Loading.AHEAD : 0);
  }

  ask(from, to, interval) {
    const { signal } = this.control;
    return series.load(this.address, { keys: this.view.keys, from, to, interval, signal });
  }

  async loadAll() {
    this.control?.abort();
    const control = (this.control = new AbortController());
    this.loaded = null;
    this.dirty = Infinity;
    this.isAsking = false;
    try {
      const loaded = await this.ask(this.view.shown.from, this.end);
      if (control.signal.aborted) return;
      this.loaded = loaded;
      this.onData(loaded);
    } catch (fault) {
      if (!control.signal.aborted) this.onFault(fault);
    }
    // What came meanwhile may be in it, or not.
    if (this.loaded && this.dirty < Infinity) this.catchUp();
  }

  // Readings came, the oldest of them measured at `at`.
  came(at) {
    if (at >= this.end) return;
    this.dirty = Math.min(this.dirty, at);
    if (this.loaded && !this.isAsking) this.catchUp();
  }

  async loadTail() {
    const { loaded, control } = this;
    if (!loaded || this.isAsking || this.dirty === Infinity) return;
    const step = loaded.interval * 1000;
    const from = Math.max(Math.floor(this.dirty / step) * step, (loaded.times[0] ?? 0) * 1000);
    this.dirty = Infinity;
    this.isAsking = true;
    try {
      const tail = await this.ask(from, Math.max(this.end, from + step), loaded.interval);
      if (control.signal.aborted) return;
      this.loaded = series.joined(loaded, tail, this.view.shown.from);
      this.onData(this.loaded);
    } catch {
      // The next reading brings it.
      if (!control.signal.aborted) this.dirty = Math.min(this.dirty, from);
    } finally {
      if (!control.signal.aborted) this.isAsking = false;
    }
    if (this.dirty < Infinity) this.catchUp();
  }
};
