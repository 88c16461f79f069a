// The chart of a device's page: puts its parts together, and tells the document chart:shown, with the
// time that is shown, whenever that changes.
"use strict";

(() => {
  const root = document.querySelector("[data-chart]");
  if (!root) return;
  const config = JSON.parse(document.getElementById("chart-config").textContent);
  const find = (name) => root.querySelector(`[data-${name}]`);
  // A clock that is wrong by more than a page takes to come is not the one to go by.
  const skew = config.now - Date.now();
  const clock = () => Date.now() + (Math.abs(skew) > 5_000 ? skew : 0);

  const view = new ChartWindow(clock, config.ranges, config.keys.map(({ key }) => key), config.usual);
  const place = find("plot");
  const legend = new Legend(find("legend"));
  const choice = new KeyChoice(find("keys"), (keys) => change(() => view.setKeys(keys)));
  const loading = new Loading(config.series, view, { onData: show, onFault: () => say("failed") });
  let chart = null;
  let isNew = true;
  let cursor = null;

  const shownKeys = () => view.keys.map((name) => config.keys.find(({ key }) => key === name));

  function say(what) {
    for (const each of root.querySelectorAll("[data-said]")) each.hidden = each.dataset.said !== what;
    place.hidden = find("legend").hidden = what === "none";
    root.ariaBusy = what === "loading";
  }

  function tellWindow() {
    for (const button of root.querySelectorAll("[data-range]")) {
      button.ariaPressed = view.isLive && Number(button.dataset.range) === view.range;
    }
    find("back").disabled = view.isLive;
    const detail = { ...view.shown, isLive: view.isLive };
    document.dispatchEvent(new CustomEvent("chart:shown", { detail }));
  }

  function change(how) {
    how();
    load();
  }

  function load() {
    isNew = true;
    tellWindow();
    if (!view.keys.length) return say("none");
    say("loading");
    return loading.loadAll();
  }

  function show(loaded) {
    const keys = shownKeys();
    const data = series.columns(loaded, keys.map(({ key }) => key));
    say(data.slice(1).some((values) => values.some((value) => value != null)) ? "shown" : "nothing");
    if (isNew) drawAnew(keys, data);
    else chart.setData(data, false);
    isNew = false;
    place.dataset.points = loaded.times.length;
    place.dataset.interval = loaded.interval;
    fit();
    if (!cursor) legend.show(data);
  }

  function drawAnew(keys, data) {
    chart?.destroy();
    cursor = null;
    legend.begin(keys, plot.colours());
    chart = plot.draw(place, keys, data, {
      onCursor({ idx, idxs }) {
        cursor = idx == null ? null : idxs;
        // It is told before the chart is here.
        if (chart) legend.show(chart.data, cursor);
      },
      onSelect: (from, to) => change(() => view.zoom(from * 1000, to * 1000)),
    });
  }

  function fit() {
    const { from, to } = view.shown;
    chart?.setScale("x", { min: from / 1000, max: to / 1000 });
  }

  // As time goes on.
  function follow() {
    if (view.isLive && chart && loading.loaded && !document.hidden) fit();
    setTimeout(follow, Math.max(1000, view.range));
  }

  function learn(payload) {
    const isPlain = payload && typeof payload === "object";
    const found = Object.entries(isPlain ? payload : {}).filter(
      ([key, value]) =>
        ["number", "boolean"].includes(typeof value) && !key.includes(",") &&
        !["ts", "msg_id"].includes(key) && !config.keys.some((known) => known.key === key),
    );
    const keys = found.map(([key]) => ({ key, label: key, unit: "", ...config.fields[key] }));
    if (!keys.length) return;
    const isFirst = !config.keys.length;
    config.keys.push(...keys);
    const chosen = isFirst ? keys.slice(0, 2).map(({ key }) => key) : [];
    choice.show(keys, chosen);
    if (isFirst) change(() => view.setKeys(chosen));
  }

  function move(by) {
    if (!chart) return;
    const last = chart.data[0].length - 1;
    const isFilled = (index) => chart.data.slice(1).some((values) => values[index] != null);
    let index = chart.cursor.idx ?? last + 1;
    do index += by;
    while (index >= 0 && index <= last && !isFilled(index));
    if (index < 0 || index > last) return;
    chart.setCursor({ left: chart.valToPos(chart.data[0][index], "x"), top: 0 });
  }

  root.addEventListener("click", ({ target }) => {
    const { dataset } = target.closest("button") ?? { dataset: {} };
    if ("range" in dataset) change(() => view.choose(Number(dataset.range)));
    if ("factor" in dataset) {
      change(() => view.move(Number(dataset.factor), Number(dataset.shift)));
    }
    if ("back" in dataset) change(() => view.back());
    if ("retry" in dataset) load();
  });
  place.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) {
      event.preventDefault();
      move(by);
    } else if (event.key === "Escape") chart?.setCursor({ left: -10, top: -10 });
  });
  document.addEventListener("live:telemetry", ({ detail }) => {
    for (const { payload } of detail.readings) learn(payload);
    const times = detail.readings.map(({ ts }) => Date.parse(ts));
    if (times.length) loading.came(Math.min(...times));
  });
  // Between the page and the first word of the stream something may have come.
  document.addEventListener("live:ready", () => loading.came(config.now - 60_000));
  document.addEventListener("live:reset", throttled(load, () => 1000));

  new ResizeObserver(() => {
    if (!place.hidden) chart?.setSize({ width: place.clientWidth, height: place.clientHeight });
  }).observe(place);
  new MutationObserver(() => {
    if (loading.loaded) drawAnew(shownKeys(), chart.data);
    if (loading.loaded) fit();
  }).observe(document.documentElement, { attributeFilter: ["class"] });

  choice.show(config.keys, view.keys);
  load();
  follow();
})();
