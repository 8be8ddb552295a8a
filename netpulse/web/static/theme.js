// Runs in <head>, before the first paint: a page must not flash in the wrong theme.
// Without this script the stylesheet follows the system by itself (color-scheme: light dark).
(function () {
  "use strict";
  var root = document.documentElement;
  var usual = root.dataset.themeDefault || "auto"; // a status page may have a theme of its own
  var dark = window.matchMedia("(prefers-color-scheme: dark)");

  function wanted() {
    try {
      return localStorage.getItem("np-theme") || usual;
    } catch (refused) {
      return usual; // storage may be switched off; the system's choice is then the best guess
    }
  }

  function apply() {
    var choice = wanted();
    root.dataset.themeChoice = choice;
    root.dataset.bsTheme = choice === "auto" ? (dark.matches ? "dark" : "light") : choice;
    root.dispatchEvent(new CustomEvent("np:theme"));
  }

  root.classList.add("js"); // fields of other types are hidden only where a script can show them again
  apply();
  dark.addEventListener("change", apply);
  window.addEventListener("storage", function (event) {
    if (event.key === "np-theme") apply();
  });
  root.addEventListener("np:theme-choice", function (event) {
    try {
      localStorage.setItem("np-theme", event.detail);
    } catch (refused) {
      root.dataset.themeChoice = event.detail;
    }
    apply();
  });
})();
