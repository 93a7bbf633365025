// Single values, tables and JSON documents.

import { el } from "../dom.js";
import { byKind } from "../format.js";
import { dataTable } from "../parts.js";

export function facts(panel) {
  const items = panel.items.map((item) =>
    el("div", {}, el("dt", {}, item.label), el("dd", {}, byKind(item.value, item.kind))),
  );
  return { nodes: [el("dl", { class: "figures" }, items)] };
}

export function table(panel) {
  return { nodes: [dataTable(panel.columns, panel.rows, { caption: panel.title })] };
}

export function document_(panel) {
  return { nodes: [json(panel.value)] };
}

export function json(value) {
  return el("pre", { class: "json", tabindex: 0 }, JSON.stringify(value, null, 2));
}
