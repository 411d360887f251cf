// A chart of metrics over epochs: uPlot for the lines, a legend of real buttons, and words for those who cannot see it.

import uPlot from "./vendor/uPlot.esm.js";
import { h, say } from "./dom.js";
import { metric, number, tick, title } from "./format.js";

const COLOURS = 8;
const HEIGHT = 240;
// A spread beyond which a straight scale would lay the small terms on the axis.
const WIDE = 200;

/** A chart with `heading`. `update(xs, series)` draws; a series is {name, values}, a value a number or the text of a non-finite one. */
export function chart(heading, { canLog = false } = {}) {
  const legend = h("ul", { class: "legend" });
  const place = h("div", { class: "plot", role: "img" });
  const note = h("p", { class: "note", hidden: true });
  let chosen = false;
  const log = h("input", {
    type: "checkbox",
    onchange: () => {
      chosen = true;
      redraw();
    },
  });
  const scale = canLog ? h("label", { class: "check" }, log, "log scale") : null;
  const node = h("section", { class: "card chart" }, h("div", { class: "row between" }, h("h3", {}, heading), scale), place, legend, note);
  const off = new Set();
  let plot,
    xs = [],
    series = [],
    drawn = "";

  function update(newXs, newSeries) {
    [xs, series] = [newXs, newSeries];
    if (canLog && !chosen) log.checked = spread(series) > WIDE;
    redraw();
  }

  function redraw() {
    const shape = JSON.stringify([series.map(({ name }) => name), log.checked]);
    if (shape !== drawn && place.clientWidth) {
      plot?.destroy();
      plot = new uPlot(options(), data(), place);
      drawn = shape;
      write();
    } else plot?.setData(data());
    describe();
  }

  function options() {
    const lines = series.map(({ name }, index) => ({
      label: title(name),
      show: !off.has(name),
      stroke: () => ink(`--series-${index % COLOURS}`),
      width: 2,
      dash: name.startsWith("val.") ? [6, 4] : undefined,
      points: { show: xs.length < 40, size: 5, fill: () => ink("--card") },
      spanGaps: true,
    }));
    const told = (_, ticks) => ticks.map((value) => (value === null ? "" : tick(series[0]?.name ?? "", log.checked ? 10 ** value : value)));
    const powers = log.checked ? { splits: (_, __, low, high) => decades(low, high) } : {};
    const axis = {
      stroke: () => ink("--soft"),
      grid: { stroke: () => ink("--line"), width: 1 },
      ticks: { show: false },
      font: "12px system-ui, sans-serif",
    };
    return {
      width: place.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, points: { size: 7 } },
      scales: { x: { time: false }, y: { range: (_, low, high) => padded(low, high, !log.checked) } },
      axes: [
        { ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000], size: 28 },
        { ...axis, size: 64, values: told, ...powers },
      ],
      series: [{ label: "epoch" }, ...lines],
      hooks: { setCursor: [(self) => values(self.cursor.idx)] },
    };
  }

  // Logarithms of our own: uPlot's leave the axis bare where a loss runs away by more than seventeen digits.
  const height = (value) => (typeof value !== "number" || (log.checked && value <= 0) ? null : log.checked ? Math.log10(value) : value);
  const data = () => [
    xs,
    ...series.map((one) => one.values.map(height)),
  ];

  function write() {
    legend.replaceChildren(
      ...series.map(({ name }, index) => {
        const button = h(
          "button",
          { type: "button", "aria-pressed": String(!off.has(name)) },
          h("span", { class: `swatch s${index % COLOURS}${name.startsWith("val.") ? " dashed" : ""}` }),
          title(name),
          " ",
          h("b"),
        );
        button.addEventListener("click", () => {
          off[off.has(name) ? "delete" : "add"](name);
          button.setAttribute("aria-pressed", String(!off.has(name)));
          plot.setSeries(index + 1, { show: !off.has(name) });
        });
        return h("li", {}, button);
      }),
    );
  }

  /** The numbers of the legend: at the cursor, or the last ones. */
  function values(at) {
    series.forEach(({ name, values: all }, index) => {
      const value = all[at ?? all.length - 1];
      const cell = legend.children[index]?.querySelector("b");
      if (cell) say(cell, metric(name, value));
    });
  }

  function describe() {
    values(plot?.cursor.idx);
    const last = series.map(({ name, values: all }) => `${title(name)} ${metric(name, all.at(-1))}`).join(", ");
    place.setAttribute("aria-label", `${heading}, at epoch ${number(xs.at(-1) ?? 0)}: ${last}`);
    const left = series.reduce((count, one) => count + one.values.filter((value) => typeof value === "string").length, 0);
    const below = log.checked ? series.reduce((count, one) => count + one.values.filter((value) => value <= 0).length, 0) : 0;
    note.hidden = !(left || below);
    say(
      note,
      [left && `${left} values that are not finite are left out`, below && `${below} values of 0 or less have no place on a log scale`]
        .filter(Boolean)
        .join("; "),
    );
  }

  new ResizeObserver(() => (plot ? plot.setSize({ width: place.clientWidth, height: HEIGHT }) : series.length && redraw())).observe(place);
  addEventListener("themechange", () => plot?.redraw(false));
  return { node, update };
}

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** How many times larger the largest number is than the smallest of the last ones. */
function spread(series) {
  const positive = (values) => values.filter((value) => typeof value === "number" && value > 0);
  return (
    Math.max(...positive(series.flatMap(({ values }) => values)), 0) /
    Math.min(...positive(series.map(({ values }) => values.at(-1))), Infinity)
  );
}

/** Ticks of a logarithmic axis between two powers of ten: so few that each can be read, and enough to read it by. */
function decades(low, high) {
  const span = high - low;
  if (span < 0.5) return Array.from({ length: 5 }, (_, index) => low + (span * (index + 0.5)) / 5);
  const [gap, parts] = [Math.max(1, Math.ceil(span / 7)), span > 3 ? [1] : span > 1 ? [1, 3] : [1, 2, 5]];
  const found = [];
  for (let power = Math.floor(low); power <= high; power += gap) found.push(...parts.map((part) => power + Math.log10(part)));
  return found.filter((power) => power >= low && power <= high);
}

function padded(low, high, stopsAt0) {
  if (low === null || high === null) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [stopsAt0 && low >= 0 && low - room < 0 ? 0 : low - room, high + room];
}
