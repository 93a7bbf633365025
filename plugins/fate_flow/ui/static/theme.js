// Light or dark as Airflow shows itself: its page has the class `light` or `dark` on <html>.
// Alone, the page follows what Airflow remembered, else the system.

const system = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

function parentDocument() {
  try {
    return window.parent !== window ? window.parent.document : null;
  } catch {
    return null; // framed by a page of another origin
  }
}

function wanted() {
  const classes = parentDocument()?.documentElement.classList;
  if (classes?.contains("dark")) return "dark";
  if (classes?.contains("light")) return "light";
  try {
    const stored = localStorage.getItem("theme");
    if (stored === "dark" || stored === "light") return stored;
  } catch {
    // storage may be closed to us; the system's choice is left
  }
  return system.matches ? "dark" : "light";
}

function apply() {
  const theme = wanted();
  if (document.documentElement.dataset.theme === theme) return;
  document.documentElement.dataset.theme = theme;
  for (const listener of listeners) listener(theme);
}

/** Call `listener` after each change of the theme; returns how to stop it. */
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Value of a colour of the style sheet, by the name of its variable. */
export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

apply();
system.addEventListener("change", apply);
window.addEventListener("storage", apply);
const outer = parentDocument();
if (outer) {
  new MutationObserver(apply).observe(outer.documentElement, {
    attributes: true,
    attributeFilter: ["class"],
  });
}
