// Status pages: times, themes and bars as everywhere, and the page itself fetched again now and then.
import { showAll, startTimes } from "./time.js";
import { startUi } from "./ui.js";

const EVERY_MS = 10_000; // most readers are told that nothing is new (304)
let seen = "";

/** Put in what is new. What somebody reads or has the focus in is left alone until the next time. */
async function refresh(live) {
  if (document.hidden || live.contains(document.activeElement)) return;
  try {
    const response = await fetch(location.pathname, { headers: { Accept: "text/html" } });
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById(live.id);
    if (!fresh || fresh.innerHTML === seen) return;
    seen = fresh.innerHTML;
    live.replaceChildren(...fresh.childNodes);
    showAll(live);
    document.dispatchEvent(new CustomEvent("np:swapped", { detail: live }));
  } catch {
    // The network is away; what is there stays, and is asked for again.
  }
}

startTimes();
startUi();

const live = document.querySelector("[data-refresh]");
if (live) {
  setInterval(() => refresh(live), EVERY_MS);
  document.addEventListener("visibilitychange", () => refresh(live));
}
