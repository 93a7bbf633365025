// The page of one job: polls while it runs, draws what has changed.

import { address, get } from "./api.js";
import { ComponentList } from "./components.js";
import { Detail } from "./detail.js";
import { el, replace } from "./dom.js";
import { head } from "./head.js";
import { notice } from "./parts.js";
import "./theme.js";

const POLL_MS = 1000;
const SLOW_MS = 5000;
const jobId = document.body.dataset.job;
const page = document.getElementById("page");

const place = { head: el("header", { class: "job-head" }), trouble: el("div") };
const list = new ComponentList((component, party) => pick(component, party));
const detail = new Detail(jobId, (tab) => pick(chosen.component, chosen.party, tab), (party) => pick(chosen.component, party));
let seen = { head: "", list: "" };
let summary = null;
let chosen = fromAddress();
let isFollowing = chosen.component === ""; // until the reader chooses, the running component is shown
let timer = null;

/** The chosen component, party and tab stand in the address, so that a reload keeps them. */
function fromAddress() {
  const [component = "", party = "", tab = ""] = decodeURIComponent(window.location.hash.slice(1)).split("/");
  return { component, party, tab };
}

function remember() {
  const text = [chosen.component, chosen.party, chosen.tab].join("/");
  window.history.replaceState(window.history.state, "", `#${encodeURIComponent(text)}`);
}

function keyOf(party) {
  return `${party.role} ${party.party_id}`;
}

/** The reader's choice; from now on the page stays with it. */
function pick(name, party, tab = chosen.tab) {
  isFollowing = false;
  choose(name, party, tab).catch(lost);
  remember();
}

async function choose(name, party, tab = chosen.tab) {
  const component = summary.components.find((one) => one.name === name);
  if (!component) return;
  chosen = { component: name, party: partyOf(component, party), tab };
  list.mark(chosen.component, chosen.party);
  await refreshDetail();
}

/** The wanted party if it runs the component, else the one looked at, the initiator, the first. */
function partyOf(component, wanted) {
  const keys = component.parties.map(keyOf);
  return [wanted, chosen.party, keyOf(summary.job.initiator)].find((key) => keys.includes(key)) ?? keys[0] ?? "";
}

/** What a reader most likely wants to see first. */
function firstComponent() {
  const { job, components } = summary;
  const known = components.find((one) => one.name === chosen.component);
  if (known && !isFollowing) return [known.name, chosen.party];
  const failed =
    components.find((one) => one.name === job.reason?.component) ??
    components.find((one) => one.status === "failed");
  if (failed) return [failed.name, job.reason?.party ? keyOf(job.reason.party) : ""];
  const running = components.find((one) => one.status === "running");
  const done = components.filter((one) => one.status === "success");
  const first = running ?? done[done.length - 1] ?? components[0];
  return first ? [first.name, ""] : ["", ""];
}

function refreshDetail() {
  const component = summary.components.find((one) => one.name === chosen.component);
  const party = component?.parties.find((one) => keyOf(one) === chosen.party);
  return detail.show(component, party, chosen.tab, summary.job.reason?.text);
}

async function refresh() {
  const isFirst = summary === null;
  summary = await get(`data/${address(jobId)}`);
  const { job, components } = summary;
  const headText = JSON.stringify([job, job.is_over ? 0 : Math.floor(Date.now() / 1000)]);
  if (headText !== seen.head) replace(place.head, head(job));
  if (isFirst) layOut();
  const listText = JSON.stringify(components);
  if (listText !== seen.list) list.show(components);
  seen = { head: headText, list: listText };
  if (isFirst || isFollowing) await choose(...firstComponent());
  else await refreshDetail();
  return job.is_over;
}

function layOut() {
  const { job, components } = summary;
  document.title = `Job ${job.id}: FATE metrics`;
  const body = components.length
    ? el("div", { class: "layout" }, list.node, detail.node)
    : notice("quiet", "", "This job has no components.");
  replace(page, place.trouble, place.head, body);
  page.setAttribute("aria-busy", "false");
  list.drawRail();
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return; // continued when the page is looked at again
  let wait = POLL_MS;
  try {
    const isOver = await refresh();
    replace(place.trouble);
    if (isOver) return;
  } catch (error) {
    if (summary === null) return fail(error);
    wait = SLOW_MS; // it may come back
    lost(error);
  }
  timer = setTimeout(poll, wait);
}

function lost(error) {
  replace(place.trouble, notice("warn", "Not up to date: ", error.message));
}

function fail(error) {
  page.setAttribute("aria-busy", "false");
  const jobs = intoJobs();
  replace(
    page,
    el(
      "section",
      { class: "empty-page" },
      el("h1", {}, `Job ${jobId} cannot be shown`),
      el("p", { role: "alert" }, error.message),
      el("p", {}, el("button", { type: "button", class: "button", on: { click: poll } }, "Try again"), " ", jobs),
    ),
  );
}

function intoJobs() {
  return el("a", { href: document.body.dataset.root }, "Show recent federated jobs");
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !(summary && summary.job.is_over)) poll();
});
window.addEventListener("hashchange", () => {
  const { component, party, tab } = fromAddress();
  if (summary && component) pick(component, party, tab);
});
poll();

