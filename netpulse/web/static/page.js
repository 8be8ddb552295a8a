// Which organization this page is of: said with everything it fetches, so that a browser that has
// moved on to another one in another tab is not answered with that one's data.
export const org = () => document.documentElement.dataset.org ?? "";

/** The headers of a request from this page that wants an answer of this type. */
export function headersFor(accept) {
  return org() ? { Accept: accept, "X-Page-Org": org() } : { Accept: accept };
}

/** Have screen readers say it. */
export function announce(text) {
  const region = document.getElementById("np-announce");
  if (region) region.textContent = text;
}
