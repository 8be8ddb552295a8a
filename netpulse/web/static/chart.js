// Charts by uPlot (a classic script on the pages that need it), drawn from JSON at data-chart:
//   {"from": s, "to": s, "at": [s, …],
//    "total": {"label": "Response time", "values": [ms | null, …]},
//    "phases": [{"label": "DNS", "values": [ms | null, …]}, …],
//    "bands": [{"from": s, "to": s, "status": "down" | "unknown" | …}], "threshold_ms": ms | null}
// Seconds are Unix time. Status bands say when there was no answer, or nobody was looking. Phases, in
// their order, add up to the total: they are drawn as areas one upon the other.
// With &from= and &to= the answer is about that stretch, in as many points: a drag over the drawing asks
// for it, and so do + and - by keyboard; 0, a double click and [data-chart-back] show all again.
import { Reader } from "./chart-reader.js";
import { headersFor } from "./page.js";
import { now } from "./time.js";
import { decimal, language, said } from "./words.js";

const HEIGHT = 240;
const REFRESH_MS = 20_000;
// What the server calls them; what is said is in the language of the page.
const LABELS = {
  "Response time": () => said("Response time"), Connect: () => said("Connect"),
  "First byte": () => said("First byte"), Rest: () => said("Rest"),
  "Round trip": () => said("Round trip"), "Run time": () => said("Run time"),
};
const labelOf = (series) => LABELS[series.label]?.() ?? series.label;
const PHASES = { DNS: "--np-phase-1", Connect: "--np-phase-2", TLS: "--np-phase-3", "First byte": "--np-phase-4", Rest: "--np-phase-5" };

function colours(box) {
  // Canvas knows no light-dark(); the colour of an element in the page is always resolved.
  const probe = document.createElement("i");
  box.append(probe);
  const read = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const found = {
    line: read("--np-line"),
    total: read("--np-total"),
    phases: Object.fromEntries(Object.entries(PHASES).map(([label, name]) => [label, read(name)])),
    text: read("--np-quiet"),
    grid: read("--np-hairline"),
    threshold: read("--np-degraded-bar"),
    band: { down: read("--np-down-band"), unknown: read("--np-unknown-band"),
      maintenance: read("--np-maintenance-band"), degraded: read("--np-degraded-band") },
  };
  probe.remove();
  return found;
}

function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 10_000) return `${(value / 1000).toFixed(0)} ${said("s")}`;
  if (value >= 1000) return `${decimal(+(value / 1000).toFixed(2))} ${said("s")}`;
  return `${decimal(+value.toFixed(1))} ms`;
}

/** A resolved colour, rgb(…), that lets through what is behind it. */
const faded = (colour) => colour.replace(/^rgb\((.*)\)$/, "rgba($1, 0.5)");

/** Where the top of each phase is drawn: its own time upon those before it. */
function tops(data) {
  const reached = data.total.values.map((total) => (total === null ? null : 0));
  return data.phases.map((phase) => phase.values.map((value, i) => {
    const total = data.total.values[i];
    if (total === null) return null;
    reached[i] = Math.min(total, reached[i] + (value ?? 0));
    return reached[i];
  }));
}

const moments = () => new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });

/** All figures of one moment in words. */
function words(data, i, moment) {
  const whole = `${moment.format(data.at[i] * 1000)}: ${milliseconds(data.total.values[i])}`;
  const parts = data.phases.map((phase) => `${labelOf(phase)} ${milliseconds(phase.values[i])}`);
  return parts.length ? `${whole} (${parts.join(", ")})` : whole;
}

function paintBands(u, data, colour) {
  const { ctx, bbox } = u;
  for (const band of data.bands ?? []) {
    const left = Math.max(u.valToPos(band.from, "x", true), bbox.left);
    const right = Math.min(u.valToPos(band.to, "x", true), bbox.left + bbox.width);
    if (right < bbox.left || left > bbox.left + bbox.width) continue;
    ctx.fillStyle = colour.band[band.status] ?? colour.band.unknown;
    ctx.fillRect(left, bbox.top, Math.max(right - left, 2), bbox.height);
  }
}

function paintThreshold(u, data, colour) {
  if (!data.threshold_ms || data.threshold_ms > u.scales.y.max) return;
  const { ctx, bbox } = u;
  const y = Math.round(u.valToPos(data.threshold_ms, "y", true)) + 0.5;
  ctx.save();
  ctx.strokeStyle = colour.threshold;
  ctx.setLineDash([6, 4]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

const YOUNG = 0.25;
const SHORTEST = 600;

/** Where the axis begins: a new monitor's few points should not hide at the end of an empty day. */
function beginning(data) {
  const first = data.at.find((_, i) => data.total.values[i] !== null);
  const known = Math.min(first ?? data.to, ...(data.bands ?? []).map((band) => band.from));
  if (known - data.from < YOUNG * (data.to - data.from)) return data.from;
  return Math.max(data.from, data.to - Math.max(1.1 * (data.to - known), SHORTEST));
}

/** Whether a chart would be an empty frame: no figure, and no outage either. */
function isBare(data) {
  const answered = data.total.values.some((value) => value !== null);
  return !answered && !(data.bands ?? []).some((band) => band.status === "down");
}

function draw(box, data, zoom) {
  const colour = colours(box);
  const readout = document.getElementById(box.dataset.out);
  const moment = moments();
  const single = data.phases.length === 0;
  const from = zoom.range ? data.from : beginning(data);
  // A value between two gaps has no line; while there are few of any, each is a dot.
  const few = data.total.values.filter((value) => value !== null).length < 60;
  const limit = document.getElementById(box.dataset.threshold);
  if (limit) {
    limit.hidden = !data.threshold_ms;
    limit.querySelector("[data-value]").textContent = milliseconds(data.threshold_ms);
  }
  // Phases first, then the total: what is drawn last is on top, and so is the sum in a sum.
  const shown = [...data.phases, data.total];
  const tone = (i) => (i === shown.length ? (single ? colour.line : colour.total) : colour.phases[shown[i - 1].label]);
  const options = {
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: !single, markers: {
      width: 1, stroke: (u, i) => tone(i), fill: (u, i) => (i === shown.length ? tone(i) : faded(tone(i))),
    } },
    // The stretch that is dragged over is fetched: it has more to show than what is drawn already.
    cursor: { y: false, points: { size: 6 }, drag: { setScale: false, x: true, y: false } },
    scales: {
      x: { time: true, range: () => [from, data.to] },
      y: { range: (u, min, max) => [0, Math.max(1, (max ?? 1) * 1.1)] },
    },
    axes: [
      { stroke: colour.text, grid: { stroke: colour.grid, width: 1 }, ticks: { show: false },
        font: "12px system-ui", space: 70, size: 32,
        values: (u, splits, index, space, step) => {
          const day = step >= 86400;
          const format = new Intl.DateTimeFormat(language, day ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" });
          return splits.map((s) => format.format(s * 1000));
        } },
      { stroke: colour.text, grid: { stroke: colour.grid, width: 1 }, ticks: { show: false },
        font: "12px system-ui", size: 58, values: (u, splits) => splits.map((v) => (v === 0 ? "0" : milliseconds(v))) },
    ],
    series: [
      { label: said("Time"), value: (u, v) => (v === null ? "–" : moment.format(v * 1000)) },
      ...shown.map((series, i) => ({
        label: labelOf(series),
        stroke: tone(i + 1),
        fill: i === 0 && !single ? faded(tone(1)) : undefined,
        width: i === shown.length - 1 ? 1.75 : 1,
        // A line over a gap would claim answers that nobody saw.
        spanGaps: false,
        points: { show: few && i === shown.length - 1, size: 5 },
        // What is drawn is a sum; what is told is the phase.
        value: (u, v, _, at) => milliseconds(at === null || at === undefined ? null : series.values[at]),
      })),
    ],
    // Each from its own top down to that of the phase before.
    bands: data.phases.slice(1).map((_, i) => ({ series: [i + 2, i + 1], fill: faded(tone(i + 2)) })),
    hooks: {
      drawClear: [(u) => paintBands(u, data, colour)],
      draw: [(u) => paintThreshold(u, data, colour)],
      setSelect: [(u) => {
        const { left, width } = u.select;
        if (width < 4) return;
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        zoom.to(u.posToVal(left, "x"), u.posToVal(left + width, "x"));
      }],
      setCursor: [(u) => {
        if (!readout || !single) return;
        const i = u.cursor.idx;
        if (i === null || i === undefined) readout.textContent = "";
        else readout.textContent = `${moment.format(data.at[i] * 1000)}: ${milliseconds(data.total.values[i])}`;
      }],
    },
  };
  box.replaceChildren();
  const chart = new window.uPlot(options, [data.at, ...tops(data), data.total.values], box);
  // Without one of its phases a sum would be none: the legend tells and does not switch.
  chart.root.querySelector(".u-legend")?.addEventListener("click", (event) => event.stopPropagation(), true);
  chart.over.addEventListener("dblclick", () => zoom.back());
  return chart;
}

/** The stretch of the period that is looked at closely; without one it is all of it. */
class Zoom {
  constructor(chart) {
    this.chart = chart;
    this.range = null;
    this.button = document.querySelector(`[data-chart-back="${CSS.escape(chart.box.id)}"]`);
    this.button?.addEventListener("click", () => this.back());
  }

  /** Look at the stretch between two moments, as far as the period has it. */
  to(from, to) {
    const { first, last } = this.chart;
    const half = Math.max((to - from) / 2, SHORTEST / 2);
    const middle = Math.min(Math.max((from + to) / 2, first + half), last - half);
    if (middle - half <= first && middle + half >= last) return this.back();
    this.range = [Math.max(first, Math.floor(middle - half)), Math.min(last, Math.ceil(middle + half))];
    this.show();
  }

  /** Half or twice as much as is in sight, around a moment. */
  by(factor, around) {
    const { data } = this.chart;
    if (!data) return;
    const half = ((data.to - (this.range ? data.from : beginning(data))) / 2) * factor;
    this.to(around - half, around + half);
  }

  back() {
    if (!this.range) return;
    this.range = null;
    this.show();
  }

  show() {
    if (this.button) this.button.hidden = !this.range;
    this.chart.load();
  }

  address(url) {
    return this.range ? `${url}&from=${this.range[0]}&to=${this.range[1]}` : url;
  }
}

class Chart {
  constructor(box) {
    this.reader = new Reader(box, (factor, around) => (factor ? this.zoom.by(factor, around) : this.zoom.back()));
    this.box = box;
    this.data = null;
    this.chart = null;
    this.first = this.last = 0; // of the period, whatever is in sight of it
    this.zoom = new Zoom(this);
    this.fetched = 0;
    this.width = 0;
    new ResizeObserver(() => {
      if (this.chart && box.clientWidth !== this.width) {
        this.width = box.clientWidth;
        this.chart.setSize({ width: this.width, height: HEIGHT });
      }
    }).observe(box);
  }

  async load(quiet = false) {
    if (!quiet) this.box.setAttribute("aria-busy", "true");
    try {
      const url = this.zoom.address(this.box.dataset.chart);
      const response = await fetch(url, { headers: headersFor("application/json") });
      if (!response.ok) throw new Error(String(response.status));
      const data = await response.json();
      if (url !== this.zoom.address(this.box.dataset.chart)) return; // something else is wanted by now
      this.data = data;
      if (!this.zoom.range) [this.first, this.last] = [data.from, data.to];
      this.fetched = now();
      this.redraw();
    } catch {
      if (!quiet) this.say(said("The figures could not be fetched. Reload the page to try again."));
    } finally {
      this.box.removeAttribute("aria-busy");
    }
  }

  say(text) {
    this.chart?.destroy();
    this.chart = null;
    this.reader.drop();
    const note = document.createElement("p");
    note.className = "np-chart-note";
    note.textContent = text;
    this.box.replaceChildren(note);
  }

  redraw() {
    if (!this.data) return;
    if (!this.data.at.length) return this.say(this.box.dataset.empty ?? said("No figures for this time."));
    if (!this.zoom.range && isBare(this.data)) return this.say(said("No figures for this time."));
    this.chart?.destroy();
    this.width = this.box.clientWidth;
    this.chart = draw(this.box, this.data, this.zoom);
    const moment = moments();
    this.reader.take(this.chart, this.data, (i) => words(this.data, i, moment));
  }
}

export function startCharts() {
  for (const box of document.querySelectorAll("[data-chart]")) {
    const chart = new Chart(box);
    chart.load();
    document.documentElement.addEventListener("np:theme", () => chart.redraw());
    document.addEventListener("np:check", ({ detail }) => {
      if (box.dataset.chartFor !== detail.id || document.hidden || chart.zoom.range) return;
      if (detail.edge || now() - chart.fetched > REFRESH_MS) chart.load(true);
    });
    for (const link of document.querySelectorAll(`[data-chart-src][data-for="${CSS.escape(box.id)}"]`)) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        for (const other of link.parentElement.children) other.removeAttribute("aria-current");
        link.setAttribute("aria-current", "true");
        box.dataset.chart = link.dataset.chartSrc;
        history.replaceState(null, "", link.href);
        chart.zoom.range = null;
        chart.zoom.show();
      });
    }
  }
}
