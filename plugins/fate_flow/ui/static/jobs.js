// The list of recent jobs.

import { address, get, intoAirflow, isFramed, root } from "./api.js";
import { el, replace } from "./dom.js";
import { duration, moment } from "./format.js";
import { badge, dataTable, notice, progressBar } from "./parts.js";
import "./theme.js";

const PAGE = 50;
const OPEN_MS = 2000;
const IDLE_MS = 10000;
const page = document.getElementById("page");
const body = el("div");
const trouble = el("div");
let before = null;
let timer = null;
let seen = "";

const COLUMNS = [
  { label: "job" },
  { label: "status" },
  { label: "kind" },
  { label: "progress", kind: "number" },
  { label: "initiator" },
  { label: "parties" },
  { label: "submitted" },
  { label: "duration", kind: "number" },
  { label: "notes" },
];

function row(job) {
  const href = new URL(`run/${address(job.dag_id, job.id)}`, root).href;
  const link = el("a", { href, class: "mono" }, job.id);
  const tab = `${address("dags", job.dag_id, "runs", job.id)}/plugin/fate_metrics`;
  const parties = job.roles.map(({ role, parties: ids }) => `${role} ${ids.join(", ")}`).join(" · ");
  const took = job.started ? (job.ended ?? Date.now()) - job.started : null;
  return [
    { value: job.id, node: isFramed && job.has_run ? intoAirflow(link, tab) : link },
    { value: job.status, node: badge(job.status) },
    job.kind,
    { value: job.progress, node: job.is_over ? `${job.progress} %` : progressBar(job.progress, `progress of job ${job.id}`) },
    `${job.initiator.role} ${job.initiator.party_id}`,
    parties,
    { value: job.created, node: moment(job.created) },
    { value: took, node: duration(took) },
    [job.waits_for, job.notes].filter(Boolean).join("; "),
  ];
}

async function refresh() {
  const { jobs, next } = await get(`data?limit=${PAGE}${before === null ? "" : `&before=${before}`}`);
  const isOpen = jobs.some((job) => !job.is_over);
  const text = JSON.stringify([jobs, next, isOpen && Math.floor(Date.now() / 1000)]);
  if (text !== seen) draw(jobs, next);
  seen = text;
  return isOpen;
}

function draw(jobs, next) {
  const older = el("button", { type: "button", class: "button", "data-key": "older", disabled: next === null, on: { click: () => turn(next) } }, "Older");
  const newest = el("button", { type: "button", class: "button", "data-key": "newest", disabled: before === null, on: { click: () => turn(null) } }, "Newest");
  replace(
    body,
    jobs.length === 0
      ? el("p", { class: "quiet" }, before === null ? "No job was submitted yet." : "No older jobs.")
      : dataTable(COLUMNS, jobs.map(row), { caption: "Recent jobs", scroll: false }),
    (next !== null || before !== null) && el("p", { class: "pager" }, newest, " ", older),
  );
}

function turn(to) {
  before = to;
  poll();
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  let isOpen = false;
  try {
    isOpen = await refresh();
    replace(trouble);
  } catch (error) {
    replace(trouble, notice("warn", "Jobs cannot be shown: ", error.message));
  }
  timer = setTimeout(poll, isOpen ? OPEN_MS : IDLE_MS);
}

replace(page, el("h1", {}, "Federated jobs"), trouble, body);
page.setAttribute("aria-busy", "false");
document.addEventListener("visibilitychange", poll);
poll();
