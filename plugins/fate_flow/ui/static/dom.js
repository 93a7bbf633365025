// Elements are made by name and text only. Nothing here parses HTML, so data cannot become markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `props`: `class`, `on` (event -> handler), `style` (property -> value), anything
 * else is an attribute; false, null and undefined leave an attribute out, true sets it empty.
 * Children are nodes or texts; null, undefined and false are skipped.
 */
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [key, value] of Object.entries(props || {})) {
    if (key === "on") {
      for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    } else if (key === "style") {
      for (const [name, one] of Object.entries(value)) node.style.setProperty(name, one);
    } else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(key, value === true ? "" : String(value));
    }
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(node, child);
    else if (child !== null && child !== undefined && child !== false) {
      node.append(child instanceof Node ? child : String(child));
    }
  }
}

/** Put new children into a node and keep the keyboard focus on the element of the same `data-key`. */
export function replace(node, ...children) {
  const active = document.activeElement;
  const key = active && node.contains(active) ? active.getAttribute("data-key") : null;
  node.replaceChildren();
  append(node, children);
  if (key) {
    const same = [...node.querySelectorAll("[data-key]")].find((one) => one.getAttribute("data-key") === key);
    if (same) same.focus({ preventScroll: true });
  }
}
