// Which columns stayed, and what each filter found for them.

import { el, replace } from "../dom.js";
import { DASH, number, plural } from "../format.js";
import { choice, dataTable } from "../parts.js";

export function selection(panel) {
  const body = el("div");
  let party = 0;

  const show = () => {
    const { rows, kept } = panel.parties[party];
    const choices = panel.parties.map((one, index) => ({ key: index, label: `${one.party} (${one.kept}/${one.rows.length})` }));
    const columns = [
      { label: "column" },
      { label: "result" },
      ...panel.filters.map((name) => ({ label: name, kind: "number" })),
    ];
    const cells = rows.map((row) => [
      { value: row.name, class: row.kept ? "" : "dropped" },
      { value: row.kept ? "kept" : "dropped", node: mark(row.kept) },
      ...row.cells.map(cell),
    ]);
    replace(
      body,
      panel.parties.length > 1 && choice("party", choices, party, (key) => { party = key; show(); }),
      el("p", {}, `${kept} of ${plural(rows.length, "column")} stay.`),
      rows.length > 0 && dataTable(columns, cells, { caption: `${panel.title} of ${panel.parties[party].party}` }),
    );
  };
  show();
  return { nodes: [body], isWide: true };
}

function mark(kept) {
  return el("span", { class: kept ? "mark good" : "mark bad" }, kept ? "✓ kept" : "✗ dropped");
}

/** A filter's value; a column that it dropped is marked, one that it did not see has a dash. */
function cell(judged) {
  if (judged === null) return { value: null, node: DASH };
  const [value, stays] = judged;
  const text = value === null ? (stays ? "✓" : "✗") : number(value);
  return { value, node: text, class: stays ? "" : "below" };
}
