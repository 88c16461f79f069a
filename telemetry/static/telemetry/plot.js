// Draws lines over time with uPlot: a mean, and around it the band between the least and the greatest.
"use strict";

globalThis.plot = (() => {
  const COLOURS = 8;
  const NEAR = 30;
  const DAY = 86_400;
  const MINUTE = 60;
  const language = document.documentElement.lang;
  const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const formats = {
    second: new Intl.DateTimeFormat(language, { ...clock, second: "2-digit" }),
    minute: new Intl.DateTimeFormat(language, clock),
    day: new Intl.DateTimeFormat(language, { day: "numeric", month: "short" }),
  };
  const numbers = new Intl.NumberFormat(language, { maximumSignificantDigits: 6 });
  const rounded = (decimals) =>
    new Intl.NumberFormat(language, { maximumFractionDigits: Math.min(decimals, 15) });

  const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colours = () =>
    Array.from({ length: COLOURS }, (_, index) => colourOf(`--chart-${index + 1}`));

  // Where a day begins its date stands, and elsewhere the time.
  function timesOf(chart, splits, axis, space, step) {
    return splits.map((at) => {
      const date = new Date(at * 1000);
      const isMidnight = date.getHours() + date.getMinutes() + date.getSeconds() === 0;
      if (step >= DAY || isMidnight) return formats.day.format(date);
      return (step >= MINUTE ? formats.minute : formats.second).format(date);
    });
  }

  // The first unit has the left axis; all others share the right one.
  function unitsOf(keys) {
    const units = [...new Set(keys.map((key) => key.unit))];
    return [units.slice(0, 1), units.slice(1)].filter((side) => side.length);
  }

  function axesOf(units) {
    const line = { stroke: colourOf("--chart-text"), grid: { stroke: colourOf("--chart-grid"), width: 1 },
      ticks: { stroke: colourOf("--chart-grid"), width: 1 } };
    const font = "12px Inter, system-ui, sans-serif";
    const sides = units.map((side, index) => ({
      ...line, font, labelFont: font, scale: `y${index}`, side: index ? 1 : 3, size: 56,
      ...(index ? { grid: { show: false } } : {}),
      ...(side.some(Boolean) ? { label: side.filter(Boolean).join(", "), labelSize: 20 } : {}),
      values: (chart, splits) => splits.map((value) => numbers.format(value)),
    }));
    return [{ ...line, font, values: timesOf, space: 70 }, ...sides];
  }

  function isAlone(values, index) {
    return values[index] != null && values[index - 1] === null && values[index + 1] === null;
  }

  // Points where a line would show nothing: at a value between two gaps.
  function pointsOf(chart, index, isShown) {
    if (isShown) return null;
    const values = chart.data[index];
    const padded = [null, ...values, null];
    return values.flatMap((_, at) => (isAlone(padded, at + 1) ? [at] : []));
  }

  function seriesOf(keys, units) {
    const shades = colours();
    return keys.flatMap((key, number) => {
      const scale = `y${units.findIndex((side) => side.includes(key.unit))}`;
      const colour = shades[number % COLOURS];
      const edge = { scale, width: 0, points: { show: false } };
      return [{ scale, stroke: colour, width: 1.75, points: { size: 5, fill: colour, filter: pointsOf } }, edge, edge];
    });
  }

  function bandsOf(keys) {
    const shades = colours();
    return keys.map((_, number) => ({
      series: [3 * number + 3, 3 * number + 2],
      fill: `${shades[number % COLOURS]}26`,
    }));
  }

  // Under the cursor counts the next value that is near.
  function nearest(chart, index, hovered, at) {
    const values = chart.data[index];
    if (!index || values[hovered] != null) return hovered;
    const reach = Math.abs(chart.posToVal(NEAR, "x") - chart.posToVal(0, "x"));
    for (let away = 1; away < values.length; away++) {
      const found = [hovered - away, hovered + away].filter((each) => values[each] != null);
      const is = found.find((each) => Math.abs(chart.data[0][each] - at) <= reach);
      if (is !== undefined) return is;
      if (chart.data[0][hovered - away] < at - reach || hovered < away) {
        if (!(chart.data[0][hovered + away] <= at + reach)) return null;
      }
    }
    return null;
  }

  // Draws into `place`. `onCursor` gets the index of the value of each series, `onSelect` the two
  // ends of what was dragged over, in seconds.
  function draw(place, keys, data, { onCursor, onSelect }) {
    const units = unitsOf(keys);
    const scales = Object.fromEntries(units.map((_, index) => [`y${index}`, {}]));
    const chart = new uPlot({
      width: place.clientWidth,
      height: place.clientHeight,
      legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false }, dataIdx: nearest, y: false },
      scales: { x: { time: true }, ...scales },
      axes: axesOf(units),
      series: [{}, ...seriesOf(keys, units)],
      bands: bandsOf(keys),
      hooks: {
        setCursor: [(drawn) => onCursor(drawn.cursor)],
        setSelect: [({ select, posToVal }) => {
          if (select.width < 4) return;
          onSelect(chart.posToVal(select.left, "x"), chart.posToVal(select.left + select.width, "x"));
          chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        }],
      },
    }, data, place);
    return chart;
  }

  return { draw, colours, rounded };
})();
