// Small pieces that several views use.

import { el } from "./dom.js";
import { DASH, byKind } from "./format.js";

export function badge(status) {
  return el("span", { class: `badge status-${status.replace(" ", "-")}` }, status);
}

export function dot(status) {
  return el("span", { class: `dot status-${status.replace(" ", "-")}`, "aria-hidden": "true" });
}

export function progressBar(percent, label, status = "running") {
  const shown = Math.max(0, Math.min(100, Math.round(percent)));
  return el(
    "div",
    {
      class: `progress status-${status}`,
      role: "progressbar",
      "aria-label": label,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": shown,
    },
    el("div", { class: "progress-fill", style: { width: `${shown}%` } }),
  );
}

export function notice(kind, title, ...content) {
  const role = kind === "bad" ? "alert" : "status";
  return el("div", { class: `notice ${kind}`, role }, title && el("strong", {}, title), ...content);
}

/** Labels with values; `items`: [label, node or text]. */
export function definitions(items) {
  return el(
    "dl",
    { class: "facts" },
    items.map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value ?? DASH))),
  );
}

/** Buttons of which one is chosen; `choices`: [{key, label}]. */
export function choice(label, choices, chosen, choose) {
  return el(
    "div",
    { class: "choice", role: "group", "aria-label": label },
    choices.map(({ key, label: text, status }) =>
      el(
        "button",
        {
          type: "button",
          "data-key": `choice-${label}-${key}`,
          "aria-pressed": String(key === chosen),
          on: { click: () => choose(key) },
        },
        status && dot(status),
        text,
      ),
    ),
  );
}

const NUMERIC = new Set(["number", "count", "ratio"]);

/**
 * A table whose rows can be sorted by a click on a header.
 *
 * columns: [{label, kind}]; rows: arrays of values, or of {value, node, class}.
 * options: caption (read aloud), scroll (limits the height), sortable.
 */
export function dataTable(columns, rows, { caption = "", scroll = true, sortable = true, rowProps } = {}) {
  const body = el("tbody");
  const heads = columns.map((column, index) => {
    const name = sortable
      ? el("button", { type: "button", class: "sort", on: { click: () => sortBy(index) } }, column.label)
      : column.label;
    return el("th", { scope: "col", class: NUMERIC.has(column.kind) ? "right" : null }, name);
  });
  let order = { index: -1, down: false };

  function sortBy(index) {
    const numeric = NUMERIC.has(columns[index].kind);
    order = { index, down: order.index === index ? !order.down : numeric };
    draw();
  }

  function draw() {
    heads.forEach((head, index) => {
      if (index === order.index) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    const sorted = order.index < 0 ? rows : [...rows].sort((a, b) => compare(a[order.index], b[order.index], order.down));
    body.replaceChildren(...sorted.map(line));
  }

  function line(row) {
    const cells = row.map((cell, index) => {
      const { value, node, class: name } = asCell(cell);
      const kind = columns[index].kind;
      const classes = [NUMERIC.has(kind) && "right", name].filter(Boolean).join(" ");
      const content = node ?? byKind(value, kind);
      return index === 0
        ? el("th", { scope: "row", class: classes || null }, content)
        : el("td", { class: classes || null }, content);
    });
    return el("tr", rowProps ? rowProps(row) : {}, cells);
  }

  draw();
  const made = el(
    "table",
    {},
    caption && el("caption", { class: "hidden" }, caption),
    el("thead", {}, el("tr", {}, heads)),
    body,
  );
  const scroller = { class: scroll ? "scroll" : "scroll free", tabindex: 0, role: "region", "aria-label": caption || "table" };
  return el("div", scroller, made);
}

function asCell(cell) {
  return cell !== null && typeof cell === "object" && !Array.isArray(cell) ? cell : { value: cell };
}

const collator = new Intl.Collator("en", { numeric: true });

function compare(left, right, down) {
  const a = asCell(left).value;
  const b = asCell(right).value;
  const missing = (a === null || a === undefined) - (b === null || b === undefined);
  if (missing) return missing; // missing values stand last in either order
  const result = typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b));
  return down ? -result : result;
}
