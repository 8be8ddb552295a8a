// Charts by uPlot (a classic script on the pages that need it), drawn from JSON at data-chart:
//   {"from": s, "to": s, "at": [s, …],
//    "series": [{"label": "Response time", "values": [ms | null, …]}, …],
//    "bands": [{"from": s, "to": s, "status": "down" | "unknown" | …}], "threshold_ms": ms | null}
// Seconds are Unix time. Status bands say when there was no answer, or nobody was looking.
import { now } from "./time.js";

const HEIGHT = 240;
const REFRESH_MS = 20_000;
const LINES = ["--np-line-1", "--np-line-2", "--np-line-3", "--np-line-4", "--np-line-5"];

function colours(box) {
  // Canvas knows no light-dark(); the colour of an element in the page is always resolved.
  const probe = document.createElement("i");
  box.append(probe);
  const read = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const found = {
    lines: LINES.map(read),
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
  if (value >= 10_000) return `${(value / 1000).toFixed(0)} s`;
  if (value >= 1000) return `${+(value / 1000).toFixed(2)} s`;
  return `${+value.toFixed(1)} ms`;
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
  const first = data.at.find((_, i) => data.series.some((s) => s.values[i] !== null));
  const known = Math.min(first ?? data.to, ...(data.bands ?? []).map((band) => band.from));
  if (known - data.from < YOUNG * (data.to - data.from)) return data.from;
  return Math.max(data.from, data.to - Math.max(1.1 * (data.to - known), SHORTEST));
}

function draw(box, data) {
  const colour = colours(box);
  const readout = document.getElementById(box.dataset.out);
  const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const single = data.series.length === 1;
  const from = beginning(data);
  // A value between two gaps has no line; while there are few of any, each is a dot.
  const few = data.series[0].values.filter((value) => value !== null).length < 60;
  const limit = document.getElementById(box.dataset.threshold);
  if (limit) {
    limit.hidden = !data.threshold_ms;
    limit.querySelector("[data-value]").textContent = milliseconds(data.threshold_ms);
  }
  const options = {
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: !single },
    cursor: { y: false, points: { size: 6 } },
    scales: {
      x: { time: true, range: (u, min, max) => (u.zoomed ? [min, max] : [from, data.to]) },
      y: { range: (u, min, max) => [0, Math.max(1, (max ?? 1) * 1.1)] },
    },
    axes: [
      { stroke: colour.text, grid: { stroke: colour.grid, width: 1 }, ticks: { show: false },
        font: "12px system-ui", space: 70, size: 32,
        values: (u, splits, index, space, step) => {
          const day = step >= 86400;
          const format = new Intl.DateTimeFormat(undefined, day ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" });
          return splits.map((s) => format.format(s * 1000));
        } },
      { stroke: colour.text, grid: { stroke: colour.grid, width: 1 }, ticks: { show: false },
        font: "12px system-ui", size: 58, values: (u, splits) => splits.map((v) => (v === 0 ? "0" : milliseconds(v))) },
    ],
    series: [
      { value: (u, v) => (v === null ? "–" : moment.format(v * 1000)) },
      ...data.series.map((series, i) => ({
        label: series.label,
        stroke: colour.lines[i % colour.lines.length],
        width: i === 0 ? 1.75 : 1,
        // A line over a gap would claim answers that nobody saw.
        spanGaps: false,
        points: { show: few, size: 5 },
        value: (u, v) => milliseconds(v),
      })),
    ],
    hooks: {
      drawClear: [(u) => paintBands(u, data, colour)],
      draw: [(u) => paintThreshold(u, data, colour)],
      setSelect: [(u) => (u.zoomed = u.select.width > 0)],
      setCursor: [(u) => {
        if (!readout || !single) return;
        const i = u.cursor.idx;
        if (i === null || i === undefined) readout.textContent = "";
        else readout.textContent = `${moment.format(data.at[i] * 1000)}: ${milliseconds(data.series[0].values[i])}`;
      }],
    },
  };
  box.replaceChildren();
  const chart = new window.uPlot(options, [data.at, ...data.series.map((s) => s.values)], box);
  chart.over.addEventListener("dblclick", () => {
    chart.zoomed = false;
    chart.setScale("x", { min: from, max: data.to });
  });
  return chart;
}

class Chart {
  constructor(box) {
    this.box = box;
    this.data = null;
    this.chart = null;
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
      const response = await fetch(this.box.dataset.chart, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(String(response.status));
      this.data = await response.json();
      this.fetched = now();
      this.redraw();
    } catch {
      if (!quiet) this.say("The figures could not be fetched. Reload the page to try again.");
    } finally {
      this.box.removeAttribute("aria-busy");
    }
  }

  say(text) {
    this.chart?.destroy();
    this.chart = null;
    const note = document.createElement("p");
    note.className = "np-chart-note";
    note.textContent = text;
    this.box.replaceChildren(note);
  }

  redraw() {
    if (!this.data) return;
    if (!this.data.at.length) return this.say(this.box.dataset.empty ?? "No figures for this time.");
    this.chart?.destroy();
    this.width = this.box.clientWidth;
    this.chart = draw(this.box, this.data);
  }
}

export function startCharts() {
  for (const box of document.querySelectorAll("[data-chart]")) {
    const chart = new Chart(box);
    chart.load();
    document.documentElement.addEventListener("np:theme", () => chart.redraw());
    document.addEventListener("np:check", ({ detail }) => {
      if (box.dataset.chartFor !== detail.id || document.hidden || chart.chart?.zoomed) return;
      if (detail.edge || now() - chart.fetched > REFRESH_MS) chart.load(true);
    });
    for (const link of document.querySelectorAll(`[data-chart-src][data-for="${CSS.escape(box.id)}"]`)) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        for (const other of link.parentElement.children) other.removeAttribute("aria-current");
        link.setAttribute("aria-current", "true");
        box.dataset.chart = link.dataset.chartSrc;
        history.replaceState(null, "", link.href);
        chart.load();
      });
    }
  }
}
