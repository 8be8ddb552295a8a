// What somebody typed is not lost when the form that they send meets the end of their sign-in, an error or nobody at all:
// it is kept in this tab until an answer comes that is neither the sign-in nor an error, and is put back when they open
// the same form again within half an hour. Secrets are not kept: [type=password], files and [data-secret].
import { announce, org } from "./page.js";
import { said } from "./words.js";

const KEY = "np-typed";
const KEPT_MS = 30 * 60_000;
const SECRET = "[type=password], [type=file], [data-secret]";
const TYPED = "textarea, select, input:not([type=hidden], [type=checkbox], [type=radio], [type=file])";

const who = () => org() + " " + (document.querySelector(".np-email")?.textContent ?? "");
const here = () => location.pathname + location.search;
const forms = () => [...document.querySelectorAll("main form")].filter((form) => form.matches("[method=post]") && form.querySelector(TYPED));
const chosen = (field) => field.type === "checkbox" || field.type === "radio";

function keep(form) {
  const fields = [...form.elements].filter((field) => field.name && !field.matches(`button, fieldset, ${SECRET}`));
  const values = fields.map((field) => [field.name, field.value, chosen(field) ? field.checked : null]);
  sessionStorage.setItem(KEY, JSON.stringify({ who: who(), at: here(), until: Date.now() + KEPT_MS, form: forms().indexOf(form), values }));
}

/** Whether this page is the answer to the form: its referrer is the page of the form. */
function isAnswer({ at }) {
  const from = document.referrer && new URL(document.referrer);
  return from !== "" && from.origin === location.origin && from.pathname + from.search === at;
}

function putBack({ form: number, values }) {
  const form = forms()[number];
  if (!form) return;
  for (const [name, value, checked] of values) {
    const named = [...form.elements].filter((field) => field.name === name && !field.matches(SECRET));
    const field = checked === null ? named[0] : named.find((each) => each.value === value);
    if (!field || (checked === null ? field.value === value : field.checked === checked)) continue;
    if (checked === null) field.value = value;
    else field.checked = checked;
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
  if (!org()) return; // nobody is signed in: the sign-in, which keeps what is kept
  const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  if (kept && !document.querySelector("[data-error-page]")) {
    const again = kept.who === who() && kept.at === here() && Date.now() < kept.until;
    const answered = isAnswer(kept);
    if (answered || again) sessionStorage.removeItem(KEY);
    if (again && !answered) putBack(kept);
  }
  document.addEventListener("submit", (event) => {
    if (!event.defaultPrevented && forms().includes(event.target)) keep(event.target);
  });
}
