// Moments in the reader's own zone, with UTC in the title. The server sends RFC 3339 UTC.
import { language, said } from "./words.js";

const root = document.documentElement;

// "12 s ago" must not depend on a wrong clock in the reader's machine; a small difference is the
// time the page took to arrive.
const skew = (() => {
  const server = Date.parse(root.dataset.now ?? "");
  const difference = server - Date.now();
  return Number.isFinite(difference) && Math.abs(difference) > 5000 ? difference : 0;
})();

const formats = {
  datetime: new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" }),
  minute: new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }),
  date: new Intl.DateTimeFormat(language, { dateStyle: "medium" }),
  time: new Intl.DateTimeFormat(language, { timeStyle: "medium" }),
};

export function now() {
  return Date.now() + skew;
}

/** Two units at most: 45 s, 12 min, 3 h 5 min, 2 d 4 h. */
export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const [second, minute, hour, day] = [said("s"), said("min"), said("h"), said("d")];
  if (s < 60) return `${s} ${second}`;
  if (s < 3600) return `${Math.floor(s / 60)} ${minute}`;
  const h = Math.floor(s / 3600);
  if (h < 24) {
    const min = Math.floor((s % 3600) / 60);
    return min ? `${h} ${hour} ${min} ${minute}` : `${h} ${hour}`;
  }
  const d = Math.floor(h / 24);
  return h % 24 ? `${d} ${day} ${h % 24} ${hour}` : `${d} ${day}`;
}

function ago(seconds, moment) {
  if (seconds < 3) return said("just now");
  if (seconds < 60) return said("{n} s ago", { n: Math.floor(seconds) });
  if (seconds < 3600) return said("{n} min ago", { n: Math.floor(seconds / 60) });
  if (seconds < 86400) return said("{n} h ago", { n: Math.floor(seconds / 3600) });
  if (seconds < 7 * 86400) return said("{n} d ago", { n: Math.floor(seconds / 86400) });
  return formats.date.format(moment);
}

export function show(element) {
  const moment = Date.parse(element.dateTime);
  if (Number.isNaN(moment)) return;
  const format = element.dataset.format ?? "datetime";
  const seconds = (now() - moment) / 1000;
  let text;
  if (format === "relative") text = ago(seconds, moment);
  else if (format === "since") text = said("for {duration}", { duration: duration(seconds) });
  else if (format === "lasting") text = said("{duration} so far", { duration: duration(seconds) });
  else text = (formats[format] ?? formats.datetime).format(moment);
  if (element.textContent !== text) element.textContent = text;
  if (!element.title) {
    const utc = new Date(moment).toISOString();
    element.title = `${utc.slice(0, 10)} ${utc.slice(11, 19)} UTC`;
  }
}

/** Point a <time> at another moment. */
export function set(element, moment) {
  element.dateTime = moment ?? "";
  element.title = "";
  if (moment) show(element);
  else element.textContent = element.dataset.blank ?? "–";
}

export function showAll(within = document) {
  for (const element of within.querySelectorAll("time[datetime]")) show(element);
}

export function startTimes() {
  showAll();
  setInterval(() => {
    if (document.hidden) return;
    const moving = ["relative", "since", "lasting"].map((f) => `time[data-format="${f}"]`).join();
    for (const element of document.querySelectorAll(moving)) show(element);
  }, 1000);
  document.addEventListener("visibilitychange", () => document.hidden || showAll());
}
