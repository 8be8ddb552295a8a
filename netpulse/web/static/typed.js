// What somebody typed is not lost when the form that they send meets the end of their sign-in, an error or nobody at all:
// it is kept in this tab until an answer comes that is neither the sign-in nor an error, and is put back when they open
// the same form again within half an hour. Secrets are not kept: [type=password], files, codes and [data-secret], nor the
// password in an address. What somebody else kept, or has been kept for longer, goes.
import { announce, org } from "./page.js";
import { said } from "./words.js";

const KEY = "np-typed";
const KEPT_MS = 30 * 60_000;
const SECRET = "[type=password], [type=file], [autocomplete=one-time-code], [data-secret]";
const PASSWORD = /(:\/\/[^\s\/?#@:]*):[^\s\/?#]*@/g;
const TYPED = "textarea, select, input:not([type=hidden], [type=checkbox], [type=radio], [type=file])";

const person = () => document.querySelector(".np-email")?.textContent ?? "";
const here = () => location.pathname + location.search;
const forms = () => [...document.querySelectorAll("main form")].filter((form) => form.matches("[method=post]") && form.querySelector(TYPED));
const chosen = (field) => field.type === "checkbox" || field.type === "radio";

/** What there is in a field: a text, whether it is ticked, or all that is chosen. */
function content(field) {
  if (chosen(field)) return field.checked;
  if (field.type === "select-multiple") return [...field.selectedOptions].map((each) => each.value);
  return field.value.replace(PASSWORD, "$1@");
}

function fill(field, kept) {
  if (chosen(field)) field.checked = kept;
  else if (field.type !== "select-multiple") field.value = kept;
  else for (const option of field.options) option.selected = kept.includes(option.value);
}

function keep(form) {
  const fields = [...form.elements].filter((field) => field.name && !field.matches(`button, fieldset, ${SECRET}`));
  const values = fields.map((field) => [field.name, chosen(field) ? field.value : null, content(field)]);
  const about = { org: org(), person: person(), at: here(), until: Date.now() + KEPT_MS, form: forms().indexOf(form) };
  sessionStorage.setItem(KEY, JSON.stringify({ ...about, values }));
}

function whatIsKept() {
  const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  if (kept && Date.now() < kept.until && (!org() || kept.person === person())) return kept;
  sessionStorage.removeItem(KEY);
  return null;
}

/** Whether this page is the answer to the form: its referrer is the page of the form. */
function isAnswer({ at }) {
  const from = document.referrer && new URL(document.referrer);
  return from !== "" && from.origin === location.origin && from.pathname + from.search === at;
}

function putBack({ form: number, values }) {
  const form = forms()[number];
  if (!form) return;
  for (const [name, choice, typed] of values) {
    const named = [...form.elements].filter((field) => field.name === name && !field.matches(SECRET));
    const field = choice === null ? named[0] : named.find((each) => each.value === choice);
    if (!field || JSON.stringify(content(field)) === JSON.stringify(typed)) continue;
    fill(field, typed);
    field.closest("details")?.setAttribute("open", "");
    field.dispatchEvent(new Event("change", { bubbles: true }));
  }
  const text = said("What you had typed is here again, except for secrets. Nothing of it was saved yet.");
  const note = document.createElement("p");
  note.className = "np-note np-note-info";
  note.textContent = text;
  document.getElementById("flash")?.append(note);
  announce(text);
}

export function startTyped() {
  const kept = whatIsKept();
  if (!org()) return; // nobody is signed in: the sign-in, which keeps what is kept
  if (kept && !document.querySelector("[data-error-page]")) {
    const again = kept.org === org() && kept.at === here();
    const answered = isAnswer(kept);
    if (answered || again) sessionStorage.removeItem(KEY);
    if (again && !answered) putBack(kept);
  }
  document.addEventListener("submit", (event) => {
    if (!event.defaultPrevented && forms().includes(event.target)) keep(event.target);
  });
}
