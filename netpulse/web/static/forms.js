// Forms: fields that depend on a choice, "Test now" without leaving the page, no double sending.
import { headersFor } from "./page.js";
import { showAll } from "./time.js";
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

/** Show the errors of a freshly rendered form without touching what was typed (secrets too). */
function copyErrors(form, fresh) {
  for (const slot of form.querySelectorAll("[data-error-for]")) {
    const path = slot.dataset.errorFor;
    const other = fresh?.querySelector(`[data-error-for="${CSS.escape(path)}"]`);
    slot.textContent = other?.textContent ?? "";
    const control = form.elements.namedItem(path);
    if (!(control instanceof HTMLElement)) continue;
    const wrong = slot.textContent.trim() !== "";
    control.classList.toggle("is-invalid", wrong);
    if (wrong) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  }
}

async function testNow(form, button) {
  const out = document.getElementById("test-result");
  const body = new URLSearchParams(new FormData(form, button));
  button.setAttribute("aria-busy", "true");
  button.disabled = true;
  try {
    const url = button.formAction || form.action;
    const response = await fetch(url, { method: "POST", body, headers: headersFor("text/html") });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const result = page.getElementById("test-result");
    if (!result) {
      // Not the form: an error page, or the session has ended. The browser shows it best.
      button.disabled = false; // a disabled button would not be sent along
      form.requestSubmit(button);
      return;
    }
    copyErrors(form, page.querySelector("form[data-form]"));
    out.replaceChildren(...result.childNodes);
    showAll(out);
    (form.querySelector("[aria-invalid]") ?? out).scrollIntoView({ block: "nearest" });
  } catch {
    out.textContent = said("The test did not reach NetPulse. Check that it is running, then try again.");
  } finally {
    button.removeAttribute("aria-busy");
    button.disabled = false;
  }
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
  for (const form of document.querySelectorAll("form[data-form]")) {
    follow(form);
    form.addEventListener("change", () => follow(form));
    const test = form.querySelector("[data-test]");
    test?.addEventListener("click", (event) => {
      if (test.dataset.plain) return;
      event.preventDefault();
      testNow(form, test);
    });
  }
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.defaultPrevented) return;
    if (form.dataset.sent) event.preventDefault(); // a second click would do it twice
    form.dataset.sent = "yes";
    setTimeout(() => delete form.dataset.sent, 5000); // the network may have failed
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });
  // After a refused form the reader, also one who hears the page, lands on what is wrong.
  document.getElementById("form-errors")?.focus();
}
