// Apache ECharts in the page's colours. Tooltips are drawn on the canvas (rich text), never as
// HTML, so names out of the data cannot become markup.

import { el } from "./dom.js";
import { number } from "./format.js";
import { color, onTheme } from "./theme.js";

const PALETTE = 10;

export function seriesColor(index) {
  return color(`series-${((index % PALETTE) + PALETTE) % PALETTE}`);
}

/**
 * A chart that follows the theme and the width of its place.
 *
 * option: () => ECharts option; called again after a change of the theme.
 * Returns {node, update(option), dispose()}.
 */
export function chart(description, option, height = 270) {
  const node = el("div", { class: "chart", role: "img", "aria-label": description, style: { height: `${height}px` } });
  let current = option;
  let drawn = null;

  const draw = () => {
    if (!node.isConnected || node.clientWidth === 0) return;
    if (drawn === null) drawn = window.echarts.init(node, null, { renderer: "canvas" });
    drawn.setOption(base(current()), { notMerge: true });
  };
  const sizes = new ResizeObserver(() => {
    if (drawn === null) draw();
    else if (node.clientWidth > 0) drawn.resize();
  });
  sizes.observe(node);
  const stop = onTheme(draw);
  return {
    node,
    update(next) {
      current = next;
      draw();
    },
    dispose() {
      stop();
      sizes.disconnect();
      if (drawn !== null) drawn.dispose();
      drawn = null;
    },
  };
}

function base(option) {
  const text = color("text");
  return {
    animationDuration: 250,
    animationDurationUpdate: 250,
    textStyle: { color: text, fontFamily: getComputedStyle(document.body).fontFamily },
    ...option,
    tooltip: {
      renderMode: "richText",
      confine: true,
      backgroundColor: color("surface"),
      borderColor: color("line"),
      textStyle: { color: text, fontSize: 12, lineHeight: 18 },
      axisPointer: { lineStyle: { color: color("quiet") }, shadowStyle: { color: color("hover") } },
      ...option.tooltip,
    },
    legend: option.legend && {
      type: "scroll",
      top: 0,
      left: 0,
      icon: "roundRect",
      itemWidth: 14,
      itemHeight: 8,
      textStyle: { color: color("quiet") },
      pageTextStyle: { color: color("quiet") },
      pageIconColor: color("text"),
      pageIconInactiveColor: color("line"),
      ...option.legend,
      ...(option.legend.icon === null ? { icon: undefined } : {}),
    },
  };
}

/** A value axis with its name in the middle. */
export function valueAxis(spec, { vertical = false, gap } = {}) {
  return {
    type: "value",
    name: spec.label,
    nameLocation: "middle",
    nameGap: gap ?? (vertical ? 42 : 26),
    nameTextStyle: { color: color("quiet"), fontSize: 12 },
    min: spec.min ?? (vertical ? undefined : "dataMin"),
    max: spec.max ?? (vertical ? undefined : "dataMax"),
    scale: true,
    minInterval: spec.integers ? 1 : undefined,
    axisLabel: { color: color("quiet"), fontSize: 11, formatter: (value) => number(value), hideOverlap: true },
    axisLine: { show: !vertical, lineStyle: { color: color("line") } },
    axisTick: { show: false },
    splitLine: { show: vertical, lineStyle: { color: color("line") } },
  };
}

export function categoryAxis(categories, name = "") {
  return {
    type: "category",
    data: categories,
    name,
    nameLocation: "middle",
    nameGap: 26,
    nameTextStyle: { color: color("quiet"), fontSize: 12 },
    axisLabel: { color: color("quiet"), fontSize: 11, hideOverlap: true },
    axisLine: { lineStyle: { color: color("line") } },
    axisTick: { show: false },
  };
}
