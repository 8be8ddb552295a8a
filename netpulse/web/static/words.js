// What the scripts say, in the language of the page. English stands in the scripts; for another language the page
// carries the texts as data, by their English (web/languages.py).
const data = document.getElementById("np-words");
const words = data ? JSON.parse(data.textContent) : {};

/** A text; `{name}` in it is filled with a value. */
export function said(text, values = {}) {
  return (words[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** The language of the page, as the reader's browser has it: a page in English shows times to somebody in London as
 *  they are written there. */
export const language = (() => {
  const page = document.documentElement.lang || "en";
  return navigator.languages?.find((one) => one.split("-")[0].toLowerCase() === page) ?? page;
})();

/** Milliseconds, with the language's sign in front of the decimals. */
export function milliseconds(value) {
  return `${decimal(value)} ms`;
}

/** A number that has been rounded, as a text. */
export function decimal(value) {
  return document.documentElement.lang === "de" ? String(value).replace(".", ",") : String(value);
}
