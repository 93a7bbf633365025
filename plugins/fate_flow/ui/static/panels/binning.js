// Binned features: a list by information value, and the bins of the chosen one.

import { categoryAxis, chart, valueAxis } from "../charts.js";
import { el, replace } from "../dom.js";
import { number, percent, plural, shorten } from "../format.js";
import { choice, dataTable, definitions } from "../parts.js";
import { color } from "../theme.js";

const FILTER_FROM = 20;
const COLUMNS = [
  { label: "interval" },
  { label: "events", kind: "count" },
  { label: "others", kind: "count" },
  { label: "events %", kind: "ratio" },
  { label: "others %", kind: "ratio" },
  { label: "WOE", kind: "number" },
  { label: "IV", kind: "number" },
];

export function binning(panel) {
  if (panel.parties.length === 0) {
    return { nodes: [el("p", { class: "quiet" }, "No column was binned.")], isWide: true };
  }
  const body = el("div");
  let party = 0;
  let feature = 0;
  let wanted = "";
  let drawn = null;

  const show = () => {
    const { features, has_iv: hasIv } = panel.parties[party];
    const choices = panel.parties.map((one, index) => ({ key: index, label: `${one.party} (${one.features.length})` }));
    const list = el("ul", { class: "feature-list", "aria-label": "features" });
    const detail = el("div", { class: "feature-detail" });
    const fillList = () => replace(list, entries(features, feature, wanted, hasIv, pick));
    const fillDetail = () => {
      if (drawn) drawn.dispose();
      drawn = null;
      const one = features[feature];
      if (one.has_labels) drawn = chart(describe(one), () => option(one), 260);
      replace(detail, head(one), drawn && drawn.node, bins(one));
    };
    const pick = (index) => {
      feature = index;
      fillList();
      fillDetail();
    };
    fillList();
    fillDetail();
    replace(
      body,
      panel.parties.length > 1 &&
        choice("party", choices, party, (key) => { party = key; feature = 0; wanted = ""; show(); }),
      !hasIv && el("p", { class: "note" }, "Without labels there is no WOE and no IV here; the guest knows them."),
      el(
        "div",
        { class: "master-detail" },
        el("div", {}, features.length >= FILTER_FROM && filter((text) => { wanted = text; fillList(); }), list),
        detail,
      ),
    );
  };
  show();
  return { nodes: [body], isWide: true, dispose: () => drawn && drawn.dispose() };
}

function filter(change) {
  return el("input", {
    type: "search",
    class: "filter",
    placeholder: "filter features",
    "aria-label": "filter features",
    on: { input: (event) => change(event.target.value.trim().toLowerCase()) },
  });
}

function entries(features, chosen, wanted, hasIv, pick) {
  const largest = Math.max(...features.map((one) => one.iv ?? 0), 1e-9);
  const shown = features
    .map((one, index) => ({ one, index }))
    .filter(({ one }) => one.name.toLowerCase().includes(wanted));
  if (shown.length === 0) return el("li", { class: "quiet" }, "no such feature");
  return shown.map(({ one, index }) =>
    el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          "data-key": `feature-${index}`,
          "aria-pressed": String(index === chosen),
          on: { click: () => pick(index) },
        },
        el("span", { class: "feature-name", title: one.name }, shorten(one.name, 22)),
        hasIv
          ? [
              el("span", { class: "bar", "aria-hidden": "true" }, el("span", { style: { width: `${(100 * (one.iv ?? 0)) / largest}%` } })),
              el("span", { class: "feature-value" }, el("span", { class: "hidden" }, "IV "), (one.iv ?? 0).toFixed(4)),
            ]
          : el("span", { class: "feature-value" }, plural(one.bins.length, "bin")),
      ),
    ),
  );
}

function head(one) {
  const items = [["feature", one.name], ["bins", one.bins.length]];
  if (one.has_labels) items.push(["IV", number(one.iv)], ["WOE monotonic", one.monotonic ? "yes" : "no"]);
  return definitions(items);
}

function bins(one) {
  const columns = one.has_labels ? COLUMNS : COLUMNS.slice(0, 1);
  const rows = one.has_labels ? one.bins : one.bins.map(([interval]) => [interval]);
  return dataTable(columns, rows, { caption: `Bins of ${one.name}`, sortable: false });
}

function describe(one) {
  const parts = one.bins.map(([interval, events, , , , woe]) => `${interval}: ${number(events)} events, WOE ${number(woe)}`);
  return `Bins of ${one.name}. ${parts.join("; ")}`;
}

function option(one) {
  const intervals = one.bins.map(([interval]) => interval);
  return {
    grid: { left: 24, right: 8, top: 34, bottom: 8, containLabel: true },
    legend: { data: ["events", "others", "WOE"] },
    xAxis: { ...categoryAxis(intervals), axisLabel: { color: color("quiet"), fontSize: 10, rotate: intervals.length > 6 ? 30 : 0 } },
    yAxis: [
      { ...valueAxis({ label: "", min: 0 }, { vertical: true }) },
      { ...valueAxis({ label: "" }, { vertical: true }), splitLine: { show: false } },
    ],
    tooltip: {
      trigger: "axis",
      axisPointer: { type: "shadow" },
      formatter: ([first]) => {
        const [interval, events, others, eventRate, , woe, iv] = one.bins[first.dataIndex];
        return `${interval}\nevents ${number(events)} (${percent(eventRate)} of all)\nothers ${number(others)}\nWOE ${number(woe)}\nIV ${number(iv)}`;
      },
    },
    series: [
      { name: "others", type: "bar", stack: "rows", color: color("bar-quiet"), barMaxWidth: 46, data: one.bins.map((bin) => bin[2]) },
      { name: "events", type: "bar", stack: "rows", color: color("series-0"), barMaxWidth: 46, data: one.bins.map((bin) => bin[1]) },
      { name: "WOE", type: "line", yAxisIndex: 1, color: color("series-1"), symbolSize: 6, lineStyle: { width: 2 }, data: one.bins.map((bin) => bin[5]) },
    ],
  };
}
