// Small things of every page: theme, menus, copying, asking once, the 90 days by keyboard.
import { said } from "./words.js";

function themes() {
  const root = document.documentElement;
  const buttons = [...document.querySelectorAll("[data-theme-choice][type=button]")];
  const mark = () => {
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === root.dataset.themeChoice));
    }
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      root.dispatchEvent(new CustomEvent("np:theme-choice", { detail: button.dataset.themeChoice }));
    });
  }
  root.addEventListener("np:theme", mark);
  mark();
}

function menus() {
  const close = (except) => {
    for (const menu of document.querySelectorAll("details.np-menu[open]")) {
      if (menu !== except) menu.open = false;
    }
  };
  for (const name of ["click", "focusin"]) {
    document.addEventListener(name, (event) => close(event.target.closest("details.np-menu")));
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = event.target.closest?.("details.np-menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Over plain http browsers offer no clipboard to scripts; the old command still works.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("refused");
}

function copying() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const from = document.getElementById(button.dataset.copy);
    const label = button.querySelector("[data-label]") ?? button;
    const before = label.textContent;
    try {
      await toClipboard(from.value ?? from.textContent.trim());
      label.textContent = said("Copied");
    } catch {
      label.textContent = said("Select and copy by hand");
    }
    setTimeout(() => (label.textContent = before), 2000);
  });
}

/** A fresh signing secret as Standard Webhooks has it: whsec_ and 24 random bytes in base64. */
function generating() {
  for (const button of document.querySelectorAll("[data-generate]")) {
    button.addEventListener("click", () => {
      const field = document.getElementById(button.dataset.generate);
      const bytes = crypto.getRandomValues(new Uint8Array(24));
      field.value = `whsec_${btoa(String.fromCharCode(...bytes))}`;
      field.type = "text"; // the receiver needs it too, and it is shown only now
      field.focus();
      field.select();
    });
  }
}

/** A link to a confirmation page asks in a dialog instead; any trouble follows the link. */
function asking() {
  const dialog = document.getElementById("np-dialog");
  if (!dialog?.showModal) return;
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-confirm]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const wanted = { source: link, target: dialog, select: "[data-confirm-body]", swap: "innerHTML" };
    window.htmx.ajax("GET", link.href, wanted);
  });
  document.addEventListener("np:swapped", ({ detail }) => {
    if (detail !== dialog) return;
    const title = dialog.querySelector("h1, h2");
    title.id = "np-dialog-title";
    dialog.setAttribute("aria-labelledby", title.id);
    dialog.showModal();
    // Enter, pressed once more than was meant, must not take anything away.
    dialog.querySelector("[data-cancel]")?.focus();
  });
  dialog.addEventListener("click", (event) => {
    const cancel = event.target.closest("[data-cancel]");
    if (cancel) event.preventDefault();
    if (cancel || event.target === dialog) dialog.close();
  });
}

/** Only the script can read a bar out, so only the script makes it something to focus. */
export function readable(within = document) {
  for (const bar of within.querySelectorAll("[data-days]")) {
    const days = JSON.parse(bar.dataset.days);
    if (!days.length) continue;
    const slider = { role: "slider", tabindex: 0, "aria-readonly": true, "aria-valuemin": 1, "aria-valuemax": days.length,
      "aria-valuenow": days.length, "aria-valuetext": days.at(-1).text };
    for (const [name, value] of Object.entries(slider)) bar.setAttribute(name, value);
  }
}

/** The days of a bar with the pointer or the arrow keys, told in words below it. */
function bars() {
  let place = 0; // of the one that was read last
  const tell = (bar, index) => {
    const days = JSON.parse(bar.dataset.days);
    const out = document.getElementById(bar.dataset.out);
    place = Math.min(days.length - 1, Math.max(0, index));
    out.dataset.idle ??= out.textContent;
    out.textContent = days[place].text;
    bar.setAttribute("aria-valuenow", place + 1);
    bar.setAttribute("aria-valuetext", days[place].text);
    bar.querySelector("[data-cursor]").setAttribute("x", place * 4 - 0.5);
    bar.classList.add("is-read");
  };
  const leave = (bar) => {
    const out = document.getElementById(bar.dataset.out);
    out.textContent = out.dataset.idle ?? out.textContent;
    delete out.dataset.idle;
    bar.classList.remove("is-read");
  };
  const listen = (name, handle) => document.addEventListener(name, (event) => {
    const bar = event.target.closest?.("[data-days][role=slider]");
    if (bar) handle(bar, event);
  });
  listen("pointermove", (bar, event) => {
    const box = bar.getBoundingClientRect();
    tell(bar, Math.floor(((event.clientX - box.left) / box.width) * bar.getAttribute("aria-valuemax")));
  });
  listen("pointerout", (bar, { relatedTarget }) => bar.contains(relatedTarget) || bar === document.activeElement || leave(bar));
  listen("focusout", leave);
  listen("focusin", (bar) => tell(bar, bar.getAttribute("aria-valuenow") - 1));
  listen("keydown", (bar, event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -7, PageUp: 7, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    tell(bar, place + steps[event.key]);
    event.preventDefault();
  });
  readable();
  document.addEventListener("np:swapped", ({ detail }) => {
    readable(detail);
    const read = document.activeElement;
    if (detail.contains(read) && read.matches("[data-days]")) tell(read, place);
  });
}

/** Boxes before the rows of a list: all of a page at once, and how many are ticked. */
function choosing() {
  const boxesOf = (form) => [...form.elements].filter((element) => element.name === "monitor_ids");
  const tell = (form) => {
    const page = form.querySelector("[data-choose-page]");
    const every = form.querySelector("[data-choose-all]");
    const boxes = boxesOf(form);
    const ticked = boxes.filter((box) => box.checked).length;
    page.checked = ticked === boxes.length;
    page.indeterminate = ticked > 0 && ticked < boxes.length;
    const count = every?.checked ? Number(every.dataset.chooseAll) : ticked;
    form.querySelector("[data-choose-count]").textContent = count ? said("{count} chosen", { count }) : said("None chosen");
    for (const box of boxes) box.closest("tr").classList.toggle("is-chosen", box.checked || Boolean(every?.checked));
  };
  // The boxes are not inside the form: they belong to it by their attribute.
  document.addEventListener("change", ({ target }) => {
    if (!target.form?.matches("[data-choose]")) return;
    if (target.matches("[data-choose-page]")) for (const box of boxesOf(target.form)) box.checked = target.checked;
    tell(target.form);
  });
  const all = () => document.querySelectorAll("form[data-choose]").forEach(tell);
  all();
  document.addEventListener("np:swapped", all);
}

/** On a phone the navigation is a row that scrolls; where we are must be in sight. */
function navigation() {
  const nav = document.querySelector(".np-nav");
  const here = nav?.querySelector("[aria-current]");
  if (here) nav.scrollLeft = here.offsetLeft - nav.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2;
}

/** What was just done is said once: a reload should not say it again. */
function toldOnce() {
  const here = new URL(location.href);
  if (!here.searchParams.has("told")) return;
  here.searchParams.delete("told");
  history.replaceState(history.state, "", here);
}

export function startUi() {
  toldOnce();
  navigation();
  themes();
  menus();
  copying();
  generating();
  asking();
  bars();
  choosing();
}
