// Curves over a common axis: loss, ROC, KS, lift, gain, accuracy, precision and recall.

import { chart, seriesColor, valueAxis } from "../charts.js";
import { number } from "../format.js";
import { color } from "../theme.js";

export function lines(panel) {
  const drawn = chart(describe(panel), () => option(panel));
  return {
    nodes: [drawn.node],
    update(next) {
      drawn.node.setAttribute("aria-label", describe(next));
      drawn.update(() => option(next));
    },
    dispose: drawn.dispose,
  };
}

/** What a reader who does not see the chart should know. */
function describe(panel) {
  const parts = panel.series.map((one) => {
    if (one.points.length === 0) return `${one.name}: no points yet`;
    const [x, y] = one.points[one.points.length - 1];
    return `${one.name}: ${one.points.length} points, last ${number(y)} at ${number(x)}`;
  });
  const marks = panel.marks.map((mark) => `${mark.label} at ${number(mark.x)}`);
  return [`${panel.title}, ${panel.y.label} over ${panel.x.label}`, ...parts, ...marks].join(". ");
}

function option(panel) {
  const integers = panel.x.label === "iteration";
  const isSparse = (one) => one.points.length === 1 || (integers && one.points.length <= 30);
  const series = panel.series.map((one) => curve(one, isSparse(one)));
  if (panel.marks.length > 0) series.push(...panel.marks.map(mark));
  if (panel.diagonal) series.push(diagonal());
  const names = panel.series.map((one) => one.name);
  return {
    grid: { left: 58, right: 20, top: names.length > 1 ? 34 : 14, bottom: 42 },
    legend: names.length > 1 ? { data: names, icon: null, itemWidth: 24, itemHeight: 8 } : undefined,
    xAxis: valueAxis({ ...panel.x, integers }),
    yAxis: valueAxis(panel.y, { vertical: true }),
    tooltip: { trigger: "axis", formatter: (params) => tooltip(panel, params) },
    series,
  };
}

function curve(one, isSparse) {
  const data = one.thresholds.length > 0 ? one.points.map(([x, y], i) => [x, y, one.thresholds[i]]) : one.points;
  return {
    name: one.name,
    type: "line",
    data,
    symbol: isSparse ? "emptyCircle" : "none",
    symbolSize: 5,
    color: seriesColor(one.color),
    lineStyle: { width: 2, type: one.dashed ? "dashed" : "solid" },
    emphasis: { disabled: true },
  };
}

function mark({ x, low, high, label, color: index }) {
  return {
    type: "line",
    name: label,
    data: [[x, low], [x, high]],
    silent: true,
    showSymbol: false,
    tooltip: { show: false },
    lineStyle: { type: "dotted", width: 2, color: seriesColor(index) },
    label: { show: false },
    markPoint: {
      silent: true,
      symbol: "rect",
      symbolSize: 0,
      label: { show: true, formatter: label, position: "left", distance: 6, color: color("text"), backgroundColor: color("surface"), padding: [2, 4], fontSize: 12 },
      data: [{ coord: [x, (low + high) / 2] }],
    },
  };
}

function diagonal() {
  return {
    type: "line",
    name: "random",
    data: [[0, 0], [1, 1]],
    silent: true,
    showSymbol: false,
    tooltip: { show: false },
    lineStyle: { type: "dashed", width: 1, color: color("quiet"), opacity: 0.6 },
    z: 1,
  };
}

function tooltip(panel, params) {
  const own = params.filter((one) => panel.series.some((series) => series.name === one.seriesName));
  if (own.length === 0) return "";
  const rows = own.map((one) => {
    const [x, y, threshold] = one.value;
    const at = own.length > 1 && x !== own[0].value[0] ? ` at ${number(x)}` : "";
    const limit = threshold === undefined || threshold === null ? "" : `   threshold ${number(threshold)}`;
    const name = panel.series.length > 1 ? `${one.seriesName}: ` : `${panel.y.label} `;
    return `${name}${number(y)}${at}${limit}`;
  });
  return [`${panel.x.label} ${number(own[0].value[0])}`, ...rows].join("\n");
}
