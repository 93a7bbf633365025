// One function per kind of panel: panel -> {nodes, isWide, update, dispose}.

import { el } from "../dom.js";
import { bars } from "./bars.js";
import { binning } from "./binning.js";
import { lines } from "./lines.js";
import { selection } from "./selection.js";
import { document_, facts, table } from "./simple.js";
import { weights } from "./weights.js";

const KINDS = { bars, binning, document: document_, facts, lines, selection, table, weights };

/** A list of panels that is brought up to date without redrawing what has not changed. */
export class PanelGrid {
  constructor() {
    this.node = el("div", { class: "panels" });
    this.shown = new Map();
  }

  show(panels) {
    const next = new Map();
    for (const [index, panel] of panels.entries()) {
      const key = `${panel.kind}/${panel.title}/${index}`;
      next.set(key, this.bring(key, panel));
    }
    for (const [key, old] of this.shown) if (!next.has(key)) old.view.dispose?.();
    this.shown = next;
    const cards = [...next.values()].map((entry) => entry.card);
    const isSame = cards.length === this.node.children.length && cards.every((card, i) => card === this.node.children[i]);
    if (!isSame) this.node.replaceChildren(...cards);
  }

  bring(key, panel) {
    const text = JSON.stringify(panel);
    const old = this.shown.get(key);
    if (old && old.text === text) return old;
    if (old && old.view.update && !panel.note && !old.hasNote) {
      old.view.update(panel);
      old.text = text;
      return old;
    }
    old?.view.dispose?.();
    const view = (KINDS[panel.kind] ?? document_)(panel);
    const isWide = view.isWide || panel.kind === "table" || panel.kind === "facts";
    const card = el(
      "section",
      { class: isWide ? "card wide" : "card" },
      el("h3", {}, panel.title),
      panel.note && el("p", { class: "note" }, panel.note),
      view.nodes,
    );
    return { text, view, card, hasNote: Boolean(panel.note) };
  }

  dispose() {
    for (const { view } of this.shown.values()) view.dispose?.();
    this.shown.clear();
  }
}
