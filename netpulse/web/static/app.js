// The entry: each part looks for its own data attributes and does nothing without them.
import { startTimes } from "./time.js";
import { startLive } from "./live.js";
import { startForms } from "./forms.js";
import { startUi } from "./ui.js";

startTimes();
startUi();
startForms();
startLive();

if (document.querySelector("[data-chart]")) {
  import("./chart.js").then(({ startCharts }) => startCharts());
}
