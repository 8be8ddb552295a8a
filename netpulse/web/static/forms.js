// Forms: fields that depend on a choice, "Test now" without leaving the page, no double sending.
import { announce } from "./page.js";
import { said } from "./words.js";

/** data-when="name=value|value" shows an element only while that field has one of the values. */
function follow(form) {
  for (const element of form.querySelectorAll("[data-when]")) {
    const [name, values] = element.dataset.when.split("=");
    const field = form.elements.namedItem(name);
    const shown = values.split("|").includes(field?.value ?? "");
    element.classList.toggle("np-off", !shown);
    if (element instanceof HTMLFieldSetElement) element.disabled = !shown;
  }
}

/** "Test now" and its like: htmx puts the result and the errors in, and what was typed stays (secrets too). */
function tried({ detail: out }) {
  if (out.id !== "test-result") return;
  const form = out.closest("form");
  const problems = [];
  for (const slot of form.querySelectorAll("[data-error-for]")) {
    const control = form.elements.namedItem(slot.dataset.errorFor);
    if (!(control instanceof HTMLElement)) continue;
    const wrong = slot.textContent.trim() !== "";
    if (wrong) problems.push(slot.textContent);
    control.classList.toggle("is-invalid", wrong);
    if (wrong) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  }
  announce(problems.join(" ") || (out.querySelector("[data-said]") ?? out).textContent);
  (form.querySelector("[aria-invalid]") ?? out).scrollIntoView({ block: "nearest" });
}

/** The status offered for an update follows the incident, until somebody chooses another; the
 *  button that acknowledges goes once that is done, or the incident over. */
function followIncident() {
  const status = (within) => within.querySelector("[data-incident-status]")?.dataset.incidentStatus;
  let last = status(document);
  document.addEventListener("np:swapped", ({ detail }) => {
    const fresh = status(detail);
    if (fresh === "resolved" || detail.querySelector("[data-acknowledged]")) {
      document.querySelector('main form[action^="/incidents/"][action$="/acknowledge"]')?.remove();
    }
    const select = document.querySelector("form[data-follows-incident] select[name=status]");
    if (!fresh || !select) return;
    if (select.value === last) select.value = fresh;
    last = fresh;
  });
}

export function startForms() {
  followIncident();
  const all = () => document.querySelectorAll("form[data-form]").forEach(follow);
  all();
  document.addEventListener("np:swapped", all);
  document.addEventListener("change", ({ target }) => target.form && follow(target.form));
  document.addEventListener("np:swapped", tried);
  document.addEventListener("htmx:error", ({ detail: { ctx } }) => {
    if (ctx?.target?.id !== "test-result") return;
    ctx.target.textContent = said("The test did not reach NetPulse. Check that it is running, then try again.");
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[method=post]") || event.defaultPrevented) return; // form.method may be a field of that name
    if (form.dataset.sent) event.preventDefault(); // a second click would do it twice
    form.dataset.sent = "yes";
    setTimeout(() => delete form.dataset.sent, 5000); // the network may have failed
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });
  // What the browser itself refuses cannot be shown while it is folded away.
  document.addEventListener("invalid", ({ target }) => target.closest("details")?.setAttribute("open", ""), true);
  // After a refused form the reader, also one who hears the page, lands on what is wrong.
  document.getElementById("form-errors")?.focus();
}
