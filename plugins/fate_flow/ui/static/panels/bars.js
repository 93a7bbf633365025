// Bars per category: precision and recall by class.

import { categoryAxis, chart, seriesColor, valueAxis } from "../charts.js";
import { number } from "../format.js";

export function bars(panel) {
  const drawn = chart(`${panel.title}, by ${panel.x_label}`, () => option(panel));
  return { nodes: [drawn.node], dispose: drawn.dispose };
}

function option(panel) {
  return {
    grid: { left: 58, right: 20, top: 34, bottom: 42 },
    legend: { data: panel.series.map((one) => one.name) },
    xAxis: categoryAxis(panel.categories, panel.x_label),
    yAxis: valueAxis({ label: "", min: 0, max: 1 }, { vertical: true }),
    tooltip: { trigger: "axis", axisPointer: { type: "shadow" }, valueFormatter: (value) => number(value) },
    series: panel.series.map((one) => ({
      name: one.name,
      type: "bar",
      data: one.values,
      barMaxWidth: 28,
      color: seriesColor(one.color),
    })),
  };
}
