// htmx (a classic script, before this) fetches parts of pages and puts them in; here is what it must know of ours.
// The macros `part` and `within` write what an element wants of it. hx-on, "js:" and filters of triggers would be
// text that is run: the policy forbids it, and nothing uses them.
import { announce, org } from "./page.js";
import { showAll } from "./time.js";
import { readable } from "./ui.js";

const on = (name, handle) => document.addEventListener(`htmx:${name}`, (event) => handle(event.detail.ctx, event));

/** Whether nobody asked: a part that refreshes itself keeps what it has when there is nothing better. */
const byItself = (ctx) => ["refresh", "every"].includes(ctx.sourceEvent.type);

/** The answer to what somebody asked is not what was expected: the browser shows it, as it would without scripts. */
function follow({ sourceElement: source, request }) {
  if (source.type !== "submit") return location.assign(request.action);
  source.form.requestSubmit(source);
}

/** Somebody filtered, sorted or turned a page: what was ticked or typed before is about another list. */
function arrive({ target, sourceElement: source }) {
  for (const form of target.querySelectorAll("form")) {
    if (!form.matches("[role=search]:focus-within")) form.reset();
  }
  if (document.activeElement === document.body || source.closest(".np-pager")) target.focus({ preventScroll: true });
  announce(target.querySelector("[data-said]")?.textContent ?? "");
}

/** `lost` is told why parts cannot be had any more: "out" (signed out) or "moved" (to another organization). */
export function startParts(lost) {
  let moved = false;
  on("config:request", ({ request }) => {
    if (org()) request.headers["X-Page-Org"] = org();
    if (request.method !== "GET") return;
    // An address says what was chosen, not what was left open.
    for (const [name, value] of [...request.body]) if (value === "") request.body.delete(name);
  });
  on("before:request", (ctx, event) => {
    if (ctx.sourceEvent.type === "every" && (document.hidden || moved)) event.preventDefault();
  });
  on("before:swap", (ctx, event) => {
    const { ok, redirected, status, url } = ctx.response.raw;
    const { tasks } = event.detail;
    const wanted = tasks.find((task) => task.type === "main")?.fragment;
    if (ctx.select ? wanted?.childElementCount : ok && !redirected) {
      // As the scripts have what is there: what is the same then stays untouched, with its focus.
      return tasks.forEach(({ fragment }) => (showAll(fragment), readable(fragment)));
    }
    event.preventDefault();
    if (!byItself(ctx)) return follow(ctx);
    moved ||= status === 409;
    if (moved) lost("moved");
    else if (redirected && new URL(url).pathname === "/login") lost("out");
  });
  on("after:swap", (ctx) => {
    if (ctx.target.id === "listing") arrive(ctx);
    document.dispatchEvent(new CustomEvent("np:swapped", { detail: ctx.target }));
  });
  // Nobody answers at all. The stream notices by itself, and a test says so itself.
  on("error", (ctx) => ctx?.request.method === "GET" && !byItself(ctx) && follow(ctx));
}
