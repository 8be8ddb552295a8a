// A chart by keyboard: the arrows go from figure to figure, and each is told in words; + and - look closer
// at the figure and less closely, 0 shows all.
import { said } from "./words.js";

const A_PAGE = 10;

export class Reader {
  constructor(box, zoom) {
    this.box = box;
    this.zoom = zoom;
    this.at = null;
    box.addEventListener("focus", () => this.tell(this.places().at(-1)));
    box.addEventListener("blur", () => this.leave());
    box.addEventListener("keydown", (event) => this.pressed(event));
  }

  /** Take a chart that was just drawn; the place in the old one is found again in it. `words` tells the figures of one. */
  take(chart, data, words) {
    this.chart = chart;
    this.data = data;
    this.words = words;
    // Only the script can read it out, so only the script makes it something to focus.
    this.box.setAttribute("role", "slider");
    this.box.setAttribute("aria-readonly", "true");
    this.box.setAttribute("aria-valuemin", "1");
    this.box.tabIndex = 0;
    // A chart knows what is in sight once it has drawn itself, in a microtask that was queued before.
    queueMicrotask(() => {
      if (this.chart !== chart) return;
      const places = this.places();
      const near = places.filter((i) => data.at[i] <= this.at).at(-1) ?? places.at(-1);
      if (document.activeElement === this.box) this.tell(near);
      else this.describe(near);
    });
  }

  /** Nothing is drawn: there is nothing to read. */
  drop() {
    this.chart = null;
    this.at = null;
    this.box.setAttribute("role", "img");
    for (const name of ["tabindex", "aria-readonly", "aria-valuemin", "aria-valuemax", "aria-valuenow", "aria-valuetext"]) {
      this.box.removeAttribute(name);
    }
  }

  /** The moments in sight that have figures. */
  places() {
    if (!this.chart) return [];
    const { min, max } = this.chart.scales.x;
    return this.data.at.flatMap((at, i) => (this.data.total.values[i] !== null && at >= min && at <= max ? [i] : []));
  }

  describe(i) {
    const places = this.places();
    this.box.setAttribute("aria-valuemax", String(Math.max(1, places.length)));
    this.box.setAttribute("aria-valuenow", String(Math.max(0, places.indexOf(i)) + 1));
    this.box.setAttribute("aria-valuetext", i === undefined ? said("No figures in sight") : this.words(i));
  }

  tell(i) {
    this.describe(i);
    if (i === undefined) return;
    this.at = this.data.at[i];
    const top = this.chart.valToPos(this.data.total.values[i], "y");
    this.chart.setCursor({ left: this.chart.valToPos(this.at, "x"), top });
  }

  leave() {
    this.at = null;
    this.chart?.setCursor({ left: -10, top: -10 });
  }

  pressed(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -A_PAGE, PageUp: A_PAGE };
    const places = this.places();
    if (!places.length) return;
    const here = places.findLastIndex((i) => this.data.at[i] <= this.at);
    let next;
    if (event.key === "Home") next = 0;
    else if (event.key === "End") next = places.length - 1;
    else if (event.key in steps) next = here + steps[event.key];
    else if (event.key === "Escape") return this.leave();
    else if (["+", "=", "-", "0"].includes(event.key) && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      return this.zoom({ "+": 0.5, "=": 0.5, "-": 2, 0: 0 }[event.key], this.at);
    }
    else return;
    event.preventDefault();
    this.tell(places[Math.min(places.length - 1, Math.max(0, next))]);
  }
}
