// Coefficients of a linear model: bars of the largest, and a table of all.

import { categoryAxis, chart, valueAxis } from "../charts.js";
import { el, replace } from "../dom.js";
import { count, number, shorten } from "../format.js";
import { choice, dataTable, definitions } from "../parts.js";
import { color } from "../theme.js";

const SHOWN = 25;

export function weights(panel) {
  const body = el("div");
  let drawn = null;
  let chosen = 0;

  const show = () => {
    if (drawn) drawn.dispose();
    const model = panel.models[chosen];
    const largest = model.rows.slice(0, SHOWN);
    const title = `Coefficients, largest first: ${largest.map(([name, value]) => `${name} ${number(value)}`).join(", ")}`;
    drawn = chart(title, () => option(largest), Math.max(150, 22 * largest.length + 50));
    const columns = [{ label: "feature" }, { label: "coefficient", kind: "number" }];
    const choices = panel.models.map((one, index) => ({ key: index, label: one.name }));
    replace(
      body,
      panel.models.length > 1 && choice("class", choices, chosen, (key) => { chosen = key; show(); }),
      definitions(figures(model)),
      model.rows.length === 0
        ? el("p", { class: "quiet" }, "This party has no features in the model.")
        : el(
            "div",
            { class: "side-by-side" },
            el(
              "div",
              {},
              drawn.node,
              model.rows.length > SHOWN &&
                el("p", { class: "note" }, `The ${SHOWN} largest of ${count(model.rows.length)}; the table has all.`),
            ),
            dataTable(columns, model.rows, { caption: panel.title }),
          ),
    );
  };
  show();
  return { nodes: [body], isWide: true, dispose: () => drawn.dispose() };
}

function figures(model) {
  return [
    model.intercept !== null && ["intercept", number(model.intercept)],
    ["iterations", count(model.iterations)],
    ["converged", model.converged ? "yes" : "no"],
    model.best_iteration !== null && ["best iteration", count(model.best_iteration)],
    ["features", count(model.rows.length)],
  ].filter(Boolean);
}

function option(rows) {
  const upwards = [...rows].reverse(); // the first category stands at the bottom
  return {
    grid: { left: 8, right: 24, top: 6, bottom: 28, containLabel: true },
    xAxis: { ...valueAxis({ label: "" }), min: undefined, max: undefined, scale: false, splitLine: { show: true, lineStyle: { color: color("line") } } },
    yAxis: { ...categoryAxis(upwards.map(([name]) => name)), axisLabel: { color: color("quiet"), fontSize: 11, interval: 0, formatter: (name) => shorten(name, 24) } },
    tooltip: { trigger: "axis", axisPointer: { type: "shadow" }, formatter: ([one]) => `${one.name}\n${number(one.value)}` },
    series: [
      {
        type: "bar",
        barMaxWidth: 14,
        data: upwards.map(([, value]) => ({
          value,
          itemStyle: { color: color(value < 0 ? "negative" : "positive"), borderRadius: 2 },
        })),
      },
    ],
  };
}
