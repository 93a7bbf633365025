// The components in order, with a rail of lines beside them that shows what feeds what.

import { el, replace, svg } from "./dom.js";
import { duration } from "./format.js";
import { dot } from "./parts.js";

const LANE = 14;
const RADIUS = 5;

/**
 * Lanes of the rail, as in the graph of a version history: an edge keeps its lane from its source
 * to its target, so no edge runs through a component that it does not belong to.
 *
 * Returns {nodes: lane per component, edges: [{from, to, lane}], width: number of lanes}.
 */
export function lanes(components) {
  const index = new Map(components.map((one, i) => [one.name, i]));
  const edges = components.flatMap((one, to) =>
    one.upstream.filter((name) => index.has(name)).map((name) => ({ from: index.get(name), to, lane: -1 })),
  );
  const free = [];
  const take = (wanted) => {
    let lane = wanted !== undefined && free[wanted] !== false ? wanted : free.findIndex((one) => one);
    if (lane < 0) lane = free.length;
    free[lane] = false;
    return lane;
  };
  const nodes = components.map((_, i) => {
    const incoming = edges.filter((edge) => edge.to === i);
    for (const edge of incoming) free[edge.lane] = true;
    const own = take(incoming.length ? Math.min(...incoming.map((edge) => edge.lane)) : undefined);
    const outgoing = edges.filter((edge) => edge.from === i).sort((a, b) => a.to - b.to);
    free[own] = true;
    for (const edge of outgoing) edge.lane = take(own);
    return own;
  });
  return { nodes, edges, width: Math.max(free.length, 1) };
}

export class ComponentList {
  constructor(choose) {
    this.choose = choose;
    this.chosen = { component: "", party: "" };
    this.rail = svg("svg", { class: "rail", "aria-hidden": "true" });
    this.items = el("ol", {});
    const body = el("div", { class: "rail-body" }, this.rail, this.items);
    this.node = el("nav", { class: "components", "aria-label": "Components" }, el("h2", {}, "Components"), body);
    this.components = [];
    new ResizeObserver(() => this.drawRail()).observe(this.items);
  }

  show(components) {
    this.components = components;
    this.plan = lanes(components);
    this.items.style.setProperty("padding-left", `${this.plan.width * LANE + 8}px`);
    replace(this.items, components.map((one) => this.item(one)));
    this.mark(this.chosen.component, this.chosen.party);
    this.drawRail();
  }

  item(component) {
    const name = component.name;
    const button = el(
      "button",
      {
        type: "button",
        class: "component-name",
        "data-key": `component/${name}`,
        "data-component": name,
        on: { click: () => this.choose(name, "") },
      },
      el("span", { class: "name" }, name),
      el("span", { class: "module" }, `${component.module} · ${component.status}`),
    );
    const parties = component.parties.map((party) => {
      const key = `${party.role} ${party.party_id}`;
      return el(
        "li",
        {},
        el(
          "button",
          {
            type: "button",
            class: "party",
            "data-key": `party/${name}/${key}`,
            "data-component": name,
            "data-party": key,
            title: party.error || party.message || null,
            on: { click: () => this.choose(name, key) },
          },
          dot(party.status),
          el("span", { class: "party-name" }, key),
          el("span", { class: "party-state" }, state(party)),
        ),
      );
    });
    return el("li", { class: "component" }, button, el("ul", { class: "parties" }, parties));
  }

  /** Show which component and party are chosen. */
  mark(component, party) {
    this.chosen = { component, party };
    for (const button of this.items.querySelectorAll("button")) {
      const { component: name, party: key } = button.dataset;
      const isChosen = name === component && (key === undefined || key === party);
      if (isChosen) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      if (key === undefined) button.parentElement.classList.toggle("chosen", isChosen);
    }
  }

  drawRail() {
    if (!this.plan || this.items.clientHeight === 0) return;
    const rows = [...this.items.children];
    const y = rows.map((row) => row.offsetTop + 17);
    const x = (lane) => lane * LANE + RADIUS + 3;
    this.rail.setAttribute("width", this.plan.width * LANE + 8);
    this.rail.setAttribute("height", this.items.offsetHeight);
    const { nodes, edges } = this.plan;
    replace(
      this.rail,
      edges.map(({ from, to, lane }) => svg("path", { class: "edge", d: path(x(nodes[from]), y[from], x(lane), x(nodes[to]), y[to]) })),
      nodes.map((lane, i) =>
        svg("circle", {
          class: `node status-${this.components[i].status.replace(" ", "-")}`,
          cx: x(lane),
          cy: y[i],
          r: RADIUS,
        }),
      ),
    );
  }
}

/** Down from (x0, y0) over the lane at `x` to (x1, y1). */
function path(x0, y0, x, x1, y1) {
  const bend = 18;
  const out = x === x0 ? `L ${x} ${y0 + bend}` : `C ${x0} ${y0 + bend} ${x} ${y0} ${x} ${y0 + bend}`;
  const back = x === x1 ? `L ${x1} ${y1}` : `C ${x} ${y1} ${x1} ${y1 - bend} ${x1} ${y1}`;
  return `M ${x0} ${y0} ${out} L ${x} ${y1 - bend} ${back}`;
}

function state(party) {
  const time = party.started && (party.ended || !party.is_over) ? duration((party.ended ?? Date.now()) - party.started) : "";
  if (party.status === "success") return time || "success";
  if (party.status === "running") return party.progress > 0 ? `${Math.round(party.progress * 100)} %` : "running";
  return party.status;
}
