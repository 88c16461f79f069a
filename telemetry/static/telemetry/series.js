// A device's numbers over time as the server has them, in steps, and as a chart wants them.
"use strict";

globalThis.series = (() => {
  const AGGREGATES = ["avg", "min", "max", "count"];
  // So many times as far apart as they usually are, values count as joined still.
  const PATIENCE = 2.5;
  // With so many in a step, a step without any is a pause.
  const DENSE = 3;
  // So many distances before and after one say what is usual there.
  const NEAR = 4;

  // Of the steps from `from` to `to`, in milliseconds; `interval`, in seconds, is left to the server
  // if there is none.
  async function load(address, { keys, from, to, interval, signal }) {
    const asked = new URLSearchParams({
      keys: keys.join(","),
      from: new Date(from).toISOString(),
      to: new Date(to).toISOString(),
      agg: AGGREGATES.join(","),
    });
    if (interval) asked.set("interval", `${interval}s`);
    const answer = await fetch(`${address}?${asked}`, { signal });
    if (!answer.ok) throw new Error(answer.statusText);
    const made = await answer.json();
    const times = made.ts.map((at) => Date.parse(at) / 1000);
    return { interval: made.interval, times, values: made.series };
  }

  // What was loaded, with the steps of `tail` instead of those from its first one on; without what
  // ends before `from`.
  function joined(loaded, tail, from) {
    const end = tail.times.length ? tail.times[0] : Infinity;
    const isKept = loaded.times.map((at) => at < end && (at + loaded.interval) * 1000 > from);
    const both = (before, after) => [...before.filter((_, index) => isKept[index]), ...after];
    const values = {};
    for (const key of Object.keys(loaded.values)) {
      values[key] = {};
      for (const name of AGGREGATES) {
        values[key][name] = both(loaded.values[key][name], tail.values[key][name]);
      }
    }
    return { interval: loaded.interval, times: both(loaded.times, tail.times), values };
  }

  const partOf = (values, part) =>
    [...values].sort((one, other) => one - other)[Math.floor((values.length - 1) * part)];

  // A device that measures every five minutes, and from some time on every second, has no gap before
  // that; two distances are the least that say anything.
  function usualAt(distances, number) {
    const before = distances.slice(Math.max(0, number - NEAR), number);
    const after = distances.slice(number + 1, number + 1 + NEAR);
    return Math.max(...[before, after].map((side) => (side.length < 2 ? 0 : partOf(side, 0.5))));
  }

  // The steps whose values have no gap before them: a device that measures every minute has none in
  // each second.
  function joinedSteps(counts) {
    const filled = counts.flatMap((count, index) => (count ? [index] : []));
    const total = counts.reduce((sum, count) => sum + count, 0);
    const isDense = total >= DENSE * filled.length;
    const reach = (usual) => (usual === 1 && isDense ? 1 : Math.floor(PATIENCE * usual));
    const distances = filled.slice(1).map((index, number) => index - filled[number]);
    const usual = distances.length < 2 ? 0 : partOf(distances, 0.8);
    const isJoined = (distance, number) =>
      distance <= Math.max(1, reach(usual), reach(usualAt(distances, number)));
    return new Set(filled.slice(1).filter((_, number) => isJoined(distances[number], number)));
  }

  // In a gap there is null. Undefined is no value, and no gap either.
  function withGaps(values, joinedAt) {
    const shown = [...values];
    let last = -1;
    for (let index = 0; index < shown.length; index++) {
      if (shown[index] === null) continue;
      if (joinedAt.has(index)) shown.fill(undefined, last + 1, index);
      last = index;
    }
    return shown;
  }

  // Times, and of each key the means, the least and the greatest.
  function columns(loaded, keys) {
    const ofKeys = keys.flatMap((key) => {
      const { avg, min, max, count } = loaded.values[key];
      const joinedAt = joinedSteps(count);
      return [avg, min, max].map((values) => withGaps(values, joinedAt));
    });
    return [loaded.times, ...ofKeys];
  }

  return { load, joined, columns };
})();
