// One component at one party: its state, and tabs for metrics, model, output data, parameters.

import { address, get, intoAirflow, root } from "./api.js";
import { el, replace } from "./dom.js";
import { count, duration, moment, number } from "./format.js";
import { PanelGrid } from "./panels/index.js";
import { json } from "./panels/simple.js";
import { badge, choice, dataTable, definitions, notice, progressBar } from "./parts.js";

const TABS = [
  { key: "metrics", label: "Metrics" },
  { key: "model", label: "Model" },
  { key: "data", label: "Output data" },
  { key: "parameters", label: "Parameters" },
];

export class Detail {
  constructor(jobId, onTab, onParty) {
    this.jobId = jobId;
    this.onTab = onTab;
    this.onParty = onParty;
    this.place = { top: el("div"), tabs: el("div"), body: el("div", { id: "tab-body", class: "tab-body", role: "tabpanel" }) };
    this.node = el("section", { class: "detail", "aria-label": "Chosen component" }, this.place.top, this.place.tabs, this.place.body);
    this.data = null;
    this.path = "";
    this.wantedTab = "";
    this.shownTab = "";
    this.grids = {};
    this.rows = null;
  }

  /** Show a component at a party; the task's data are fetched again until it is over.
   *  `jobReason` stands above already and is not repeated. */
  async show(component, party, tab, jobReason) {
    this.jobReason = jobReason;
    if (!component || !party) {
      replace(this.place.top, component && el("h2", {}, component.name), notice("quiet", "", "No party runs this component here."));
      return;
    }
    const path = address(this.jobId, component.name, party.role, party.party_id);
    const isNew = path !== this.path;
    if (isNew) this.forget(path, tab);
    this.component = component;
    this.party = party;
    this.drawTop();
    if (!isNew && this.data && this.data.task.is_over) return;
    if (party.status === "waiting" && this.data) return;
    try {
      const data = await get(`data/${path}`);
      if (path !== this.path) return; // another one was chosen meanwhile
      if (JSON.stringify(data) === JSON.stringify(this.data)) return;
      this.data = data;
    } catch (error) {
      if (path !== this.path || this.data) throw error;
      replace(this.place.body, notice("bad", "Cannot be shown: ", error.message));
      this.path = "";
      return;
    }
    this.drawTop();
    this.drawTabs();
    this.drawBody();
  }

  forget(path, tab) {
    this.path = path;
    this.wantedTab = tab;
    this.isPicked = false; // another component may have nothing under the same tab
    this.shownTab = "";
    this.data = null;
    this.rows = null;
    for (const grid of Object.values(this.grids)) grid.dispose();
    this.grids = { metrics: new PanelGrid(), model: new PanelGrid() };
    replace(this.place.tabs);
    replace(this.place.body, el("p", { class: "quiet", role: "status" }, "Loading …"));
  }

  drawTop() {
    const { component, party } = this;
    const text = JSON.stringify([component, party, this.data?.airflow, party.is_over ? 0 : Math.floor(Date.now() / 1000)]);
    if (text === this.topText) return;
    this.topText = text;
    const link = this.data?.airflow && intoAirflow(el("a", { class: "button", "data-key": "log" }, "Log in Airflow"), this.data.airflow);
    const choices = component.parties.map((one) => ({ key: keyOf(one), label: keyOf(one), status: one.status }));
    replace(
      this.place.top,
      el(
        "div",
        { class: "title-row" },
        el("h2", {}, component.name),
        el("span", { class: "kind" }, component.module),
        badge(party.status),
        el("span", { class: "spacer" }),
        party.started && link,
      ),
      el("div", { class: "party-row" }, choice("party", choices, keyOf(party), this.onParty), times(party)),
      state(party, this.jobReason, component.upstream.length === 0),
    );
  }

  content(tab) {
    const { metrics, model, model_meta: meta, output, parameters } = this.data;
    return { metrics: metrics.length, model: model.length + (meta ? 1 : 0), data: output ? 1 : 0, parameters: parameters ? 1 : 0 }[tab] > 0;
  }

  /** The tab that was asked for, else the first with something in it. */
  currentTab() {
    const isKnown = TABS.some(({ key }) => key === this.wantedTab);
    if (isKnown && (this.isPicked || this.content(this.wantedTab))) return this.wantedTab;
    if (!this.party.is_over) return "metrics";
    return (TABS.find(({ key }) => this.content(key)) ?? TABS[0]).key;
  }

  drawTabs() {
    const current = this.currentTab();
    const buttons = TABS.map(({ key, label }) =>
      el(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${key}`,
          "data-key": `tab-${key}`,
          "aria-selected": String(key === current),
          "aria-controls": "tab-body",
          tabindex: key === current ? 0 : -1,
          class: this.content(key) ? null : "empty",
          on: { click: () => this.pickTab(key), keydown: (event) => this.tabKey(event, key) },
        },
        label,
      ),
    );
    replace(this.place.tabs, el("div", { class: "tabs", role: "tablist", "aria-label": "Views of the component" }, buttons));
    this.place.body.setAttribute("aria-labelledby", `tab-${current}`);
  }

  tabKey(event, key) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const index = TABS.findIndex((tab) => tab.key === key);
    const next = TABS[(index + step + TABS.length) % TABS.length].key;
    this.pickTab(next);
    document.getElementById(`tab-${next}`).focus();
  }

  pickTab(key) {
    this.wantedTab = key;
    this.isPicked = true;
    if (this.data) this.onTab(key);
    this.drawTabs();
    this.drawBody();
  }

  drawBody() {
    const tab = this.currentTab();
    const changed = tab !== this.shownTab;
    this.shownTab = tab;
    if (tab === "metrics") this.drawPanels(changed, tab, this.data.metrics, this.nothing("metrics"));
    else if (tab === "model") this.drawModel(changed);
    else if (tab === "data") this.drawData();
    else this.drawParameters();
  }

  nothing(what) {
    if (this.data.site) return `Not known here: ${what} of ${keyOf(this.party)} stays at the site ${this.data.site}.`;
    if (!this.party.is_over) return `No ${what} yet.`;
    return this.party.status === "success" ? `This component has no ${what} at this party.` : `No ${what}.`;
  }

  drawPanels(changed, tab, panels, empty, after = []) {
    const grid = this.grids[tab];
    if (panels.length === 0 && after.length === 0) {
      grid.show([]);
      replace(this.place.body, el("p", { class: "quiet" }, empty));
      this.shownTab = "";
      return;
    }
    if (changed || !this.place.body.contains(grid.node)) replace(this.place.body, grid.node, after);
    grid.show(panels);
  }

  drawModel(changed) {
    const { model, model_meta: meta } = this.data;
    const after = meta ? [details("Settings of the model", json(meta), false)] : [];
    this.drawPanels(changed, "model", model, this.nothing("model"), after);
  }

  async drawData() {
    const { path, data } = this;
    if (!data.output) {
      replace(this.place.body, el("p", { class: "quiet" }, this.nothing("output data")));
      return;
    }
    if (this.rows === null) {
      replace(this.place.body, el("p", { class: "quiet", role: "status" }, "Loading rows …"));
      try {
        this.rows = await get(`data/${path}/rows`);
      } catch (error) {
        if (path === this.path) replace(this.place.body, notice("bad", "Cannot be shown: ", error.message));
        return;
      }
    }
    if (path === this.path && this.shownTab === "data") replace(this.place.body, rowsView(this.rows, path));
  }

  drawParameters() {
    const { parameters } = this.data;
    if (!parameters) {
      replace(this.place.body, el("p", { class: "quiet" }, "The parameters are no longer stored here."));
      return;
    }
    replace(this.place.body, Object.entries(parameters).map(([name, value]) => details(name, json(value), true)));
  }
}

function keyOf(party) {
  return `${party.role} ${party.party_id}`;
}

function details(title, content, open) {
  return el("details", { class: "card", open }, el("summary", {}, title), content);
}

function state(party, jobReason, isFirst) {
  const isRunning = party.status === "running";
  return [
    party.error && party.error !== jobReason && notice("bad", "Error: ", el("p", { class: "reason" }, party.error)),
    isRunning &&
      el(
        "div",
        { class: "progress-row" },
        progressBar((party.progress ?? 0) * 100, "progress of the task"),
        el("span", { class: "progress-text" }, `${Math.round((party.progress ?? 0) * 100)} %`),
      ),
    !party.is_over && party.message && el("p", { class: "message", role: "status" }, party.message),
    party.status === "waiting" && !party.message && el("p", { class: "quiet" }, isFirst ? "Waits for the start of the job." : "Waits for the components before it."),
    party.site && el("p", { class: "quiet" }, `Runs at the site ${party.site}; metrics, model and output data stay there.`),
    party.status === "not run" && el("p", { class: "quiet" }, "The job ended before this task began."),
  ];
}

function times(party) {
  if (!party.started) return null;
  const items = [
    ...(party.site ? [["site", party.site]] : []),
    ["started", moment(party.started)],
    ["duration", duration((party.ended ?? Date.now()) - party.started)],
    ["attempt", (party.attempt ?? 0) + 1],
  ];
  return definitions(items);
}

/** `0: 0.16, 1: 0.84` for the probabilities of a prediction. */
function nested(value) {
  return Object.entries(value).map(([key, one]) => `${key}: ${typeof one === "number" ? number(one) : JSON.stringify(one)}`).join(", ");
}

function rowsView({ header, rows, total, columns }, path) {
  const download = el("a", { class: "button", href: new URL(`download/${path}`, root).href, download: true }, "Download all rows (CSV, tar.gz)");
  if (total === 0) return el("p", { class: "quiet" }, "The output table has no rows.");
  const cut = header.length < columns ? `, the first ${header.length} of ${count(columns)} columns` : `, ${count(columns)} columns`;
  const first = rows.length < total ? `The first ${rows.length} of ${count(total)} rows` : `${count(total)} rows`;
  const kinds = header.map((_, i) => (rows.every((row) => row[i] === null || typeof row[i] === "number") ? "number" : "text"));
  const heads = header.map((label, i) => ({ label, kind: i === 0 ? "text" : kinds[i] }));
  const cells = rows.map((row) => row.map((value) => (value !== null && typeof value === "object" ? nested(value) : value)));
  return el(
    "section",
    { class: "card" },
    el("div", { class: "title-row" }, el("p", {}, `${first}${cut}`), el("span", { class: "spacer" }), download),
    dataTable(heads, cells, { caption: "Output data" }),
  );
}
