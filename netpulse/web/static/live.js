// Live pages: one event stream, and elements that say in data attributes what they want of it.
//
//   data-live-monitor="<id>"      a row or page of that monitor (data-name is used when announced);
//     data-live="status|status_text|response_time_ms|checked_at|status_since" inside it
//   data-live-count="down"        a number of the organization
//   data-live-reload="incident notice counts edge check"
//                                 htmx fetches it again on these (it has an id, and "refresh" for a trigger);
//                                 with data-live-for="<id> …" only for those monitors or incidents
//   data-live-state               says "Live" or "Reconnecting…" (data-on, data-off, data-out, data-moved)
import * as time from "./time.js";
import { announce, headersFor, org } from "./page.js";
import { milliseconds, said } from "./words.js";

const HIDDEN_MS = 5 * 60_000; // a forgotten tab gives its connection back
const RELOAD_MS = 500; // edges come in groups; a list is fetched once for a group
const CHECKS_MS = 5_000;
const FIRST_MS = 2_000;

let source = null;
let open = "";
let failures = 0;
let timer = 0;
let missed = false;
let away = false;
const seen = new Map(); // monitor id -> {status, checked_at}
const waiting = new Map(); // element id -> {timer, at}: one fetch for a group of events

const all = (selector, within = document) => within.querySelectorAll(selector);

function visibleIds() {
  return [...new Set([...all("[data-live-monitor]")].map((e) => e.dataset.liveMonitor))].sort().join(",");
}

function say(state) {
  for (const element of all("[data-live-state]")) {
    element.dataset.liveState = state;
    element.textContent = element.dataset[state] ?? "";
  }
}

function badge(status) {
  const badges = document.getElementById("np-badges");
  return badges?.content.querySelector(`[data-status="${CSS.escape(status)}"]`)?.cloneNode(true);
}

function fill(slot, data) {
  const name = slot.dataset.live;
  if (!(name in data)) return;
  const value = data[name];
  if (name === "status") {
    if (slot.dataset.value === value) return;
    const fresh = badge(value);
    if (fresh) slot.replaceChildren(fresh);
    slot.dataset.value = value;
  } else if (slot instanceof HTMLTimeElement) {
    time.set(slot, value);
  } else if (name === "response_time_ms") {
    slot.textContent = value === null ? "–" : milliseconds(value);
    slot.toggleAttribute("data-none", value === null); // a phone leaves the empty cell out
  } else if (name === "status_text") {
    slot.textContent = sentence(value ?? "", data.status);
  } else {
    slot.textContent = value ?? "";
  }
}

/** What a state's text says beyond the word on the badge beside it; macros.html has the same. */
function sentence(text, status) {
  const word = status.charAt(0).toUpperCase() + status.slice(1); // in English, as the text is
  if (text === word) return "";
  if (text === "Waiting for the first check") return said("Waiting for the first check");
  if (text === "Waiting for the first ping") return said("Waiting for the first ping");
  return text.startsWith(`${word}: `) ? text.slice(word.length + 2) : text;
}

/** What the page was rendered with, until an event says something newer. */
function rendered(id) {
  const element = document.querySelector(`[data-live-monitor="${CSS.escape(id)}"]`);
  const checked = element?.querySelector('time[data-live="checked_at"]');
  return { status: element?.dataset.status, checked_at: checked?.getAttribute("datetime") };
}

function onMonitor(data) {
  const before = seen.get(data.id) ?? rendered(data.id);
  seen.set(data.id, { status: data.status, checked_at: data.checked_at });
  const edge = before.status !== undefined && before.status !== data.status;
  let name = "";
  for (const element of all(`[data-live-monitor="${CSS.escape(data.id)}"]`)) {
    name ||= element.dataset.name ?? "";
    element.dataset.status = data.status;
    for (const slot of all("[data-live]", element)) fill(slot, data);
    if (edge) {
      element.classList.remove("np-changed");
      void element.offsetWidth; // restarts the animation
      element.classList.add("np-changed");
    }
  }
  if (edge) {
    const word = badge(data.status)?.textContent.trim() ?? data.status;
    if (name) tell(`${name}: ${word}`);
    reload("edge", [data.id]);
    // Uptime needs a time to be of: at the first verdict there is none yet.
    if (before.status === "pending") setTimeout(() => reload("edge", [data.id]), FIRST_MS);
  }
  if (data.checked_at && data.checked_at !== before.checked_at) {
    reload("check", [data.id], before.checked_at ? CHECKS_MS : RELOAD_MS);
    document.dispatchEvent(new CustomEvent("np:check", { detail: { id: data.id, edge } }));
  }
}

/** Changes that come together are read out together, and of many only the first. */
let news = [];
function tell(text) {
  if (news.push(text) > 1) return;
  setTimeout(() => {
    announce(news.slice(0, 5).join(", ") + (news.length > 5 ? " …" : ""));
    news = [];
  }, 1000);
}

let counts = "";
function onCounts(data, text) {
  let changed = counts !== "" && counts !== text;
  counts = text;
  for (const element of all("[data-live-count]")) {
    const value = data[element.dataset.liveCount];
    if (value === undefined || element.textContent === String(value)) continue;
    changed = true;
    element.textContent = value;
    element.closest("[data-count]")?.classList.toggle("is-zero", value === 0);
  }
  if (changed) reload("counts", []);
}

/** Fetch again what asked for this kind of event. */
function reload(kind, about, delay = RELOAD_MS) {
  for (const element of all(`[data-live-reload~="${kind}"]`)) {
    const only = element.dataset.liveFor;
    if (only && about.length && !about.some((id) => only.split(" ").includes(id))) continue;
    fetchSoon(element, delay);
  }
}

function fetchSoon({ id }, delay) {
  const at = performance.now() + delay;
  const earlier = waiting.get(id);
  if (earlier && earlier.at <= at) return;
  clearTimeout(earlier?.timer);
  const timer = setTimeout(() => {
    waiting.delete(id);
    if (!away) window.htmx.trigger(document.getElementById(id), "refresh", {}, false);
  }, delay);
  waiting.set(id, { at, timer });
}

/** What this page shows is not to be had any more: "out" (signed out) or "moved", when this browser is in another
 *  organization by now. */
export function lost(why) {
  away ||= why === "moved";
  if (away) close();
  say(why);
  announce(document.querySelector("[data-live-state]")?.textContent ?? "");
}

/** Take the states from a fresh copy of this page: events that came before the stream are lost. */
async function catchUp() {
  const before = new Map(seen);
  const response = await fetch(location.href, { headers: headersFor("text/html") }).catch(() => null);
  if (!response?.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const id of visibleIds().split(",")) {
    // What was heard while the page was on its way is newer than the page.
    if (seen.get(id) !== before.get(id)) continue;
    const fresh = page.querySelector(`[data-live-monitor="${CSS.escape(id)}"]`);
    if (!fresh) continue;
    const data = { id, status: fresh.dataset.status };
    for (const slot of all("[data-live]", fresh)) {
      const text = slot.textContent.trim();
      if (slot instanceof HTMLTimeElement) data[slot.dataset.live] = slot.getAttribute("datetime");
      else if (slot.dataset.live === "response_time_ms") data.response_time_ms = text === "–" ? null : parseInt(text, 10);
      else if (slot.dataset.live !== "status") data[slot.dataset.live] = text;
    }
    onMonitor(data);
  }
}

function reloadAll() {
  for (const element of all("[data-live-reload]")) fetchSoon(element, RELOAD_MS);
}

function close() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

function connect() {
  close();
  if (away) return;
  open = visibleIds();
  const mine = new EventSource(`/live?ids=${encodeURIComponent(open)}&np_org=${encodeURIComponent(org())}`);
  source = mine;
  const on = (name, handle) =>
    mine.addEventListener(name, (event) => mine === source && handle(JSON.parse(event.data), event.data));
  mine.addEventListener("open", () => {
    failures = 0;
    say("on");
    if (missed) reloadAll(); // what happened meanwhile was not heard
    // A first check is done within a second of saving: often before this page listens.
    if (missed || document.querySelector('[data-live-monitor][data-status="pending"]')) catchUp();
    missed = false;
  });
  // An EventSource gives up for good at an HTTP error (a proxy's 502 during a restart), so the
  // retries are ours.
  mine.addEventListener("error", () => mine === source && retry());
  on("monitor", onMonitor);
  on("counts", onCounts);
  on("incident", (data) => reload("incident", [data.id, data.monitor_id]));
  on("notice", (data) => reload("notice", [data.incident_id, data.id]));
}

async function retry() {
  close();
  missed = true;
  failures += 1;
  say("off");
  const wait = Math.min(30_000, 1000 * 2 ** (failures - 1)) * (0.75 + Math.random() / 2);
  timer = setTimeout(async () => {
    if (failures > 1) {
      // The stream cannot tell a lost server from an ended session, nor from one that has moved on
      // to another organization; a page can.
      const headers = headersFor("text/html");
      const page = await fetch(location.href, { redirect: "manual", headers }).catch(() => null);
      if (page?.type === "opaqueredirect") return lost("out");
      if (page?.status === 409) return lost("moved");
    }
    connect();
  }, wait);
}

export function startLive() {
  if (!document.querySelector("[data-live-state]") || !window.EventSource) return;
  connect();
  document.addEventListener("np:swapped", () => visibleIds() !== open && connect());
  let hidden = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.hidden) {
      hidden = setTimeout(() => {
        missed = true;
        close();
      }, HIDDEN_MS);
    } else if (!source) {
      connect();
    }
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    missed = true;
    connect();
  });
}
