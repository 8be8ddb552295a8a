// The entry: each part looks for its own data attributes and does nothing without them.
import { startTimes } from "./time.js";
import { lost, startLive } from "./live.js";
import { startParts } from "./parts.js";
import { startForms } from "./forms.js";
import { startTyped } from "./typed.js";
import { startUi } from "./ui.js";

startTimes();
startUi();
startForms();
startTyped();
startParts(lost);
startLive();

if (document.querySelector("[data-chart]")) {
  import("./chart.js").then(({ startCharts }) => startCharts());
}
