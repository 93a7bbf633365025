// Jobs of other sites that wait for a yes, with buttons to say it.

import { get, post } from "./api.js";
import { el, replace } from "./dom.js";
import { moment } from "./format.js";
import { definitions, notice } from "./parts.js";
import "./theme.js";

const EVERY_MS = 5000;
const page = document.getElementById("page");
const body = el("div");
const trouble = el("div");
const said = el("div", { "aria-live": "polite" });
/** Reasons that are being typed, by job: a refresh must not lose them. */
const reasons = new Map();
let busy = "";
let timer = null;
let seen = "";

function card(job) {
  const reason = el("input", {
    type: "text",
    "data-key": `reason-${job.job_id}`,
    placeholder: "reason, told to the other site",
    "aria-label": `reason for refusing job ${job.job_id}`,
    maxlength: 1000,
    on: { input: () => reasons.set(job.job_id, reason.value) },
  });
  reason.value = reasons.get(job.job_id) ?? "";
  const button = (name, act) =>
    el(
      "button",
      { type: "button", class: "button", "data-key": `${name}-${job.job_id}`, disabled: busy === job.job_id, on: { click: act } },
      name,
    );
  return el(
    "section",
    { class: "request", "aria-label": `job ${job.job_id}` },
    el("h2", { class: "mono" }, job.job_id),
    definitions([
      ["from", `${job.initiator} at the site ${job.site}`],
      ["came", moment(job.created)],
      ["our parties", job.parties.join(", ")],
      ["components", job.modules.join(", ")],
      ["tables it reads here", job.tables.join(", ")],
    ]),
    el(
      "p",
      { class: "pager" },
      button("Approve", () => decide(job.job_id, "approve", {})),
      " ",
      reason,
      " ",
      button("Refuse", () => refuse(job.job_id)),
    ),
  );
}

function refuse(id) {
  const reason = (reasons.get(id) ?? "").trim();
  if (reason) decide(id, "refuse", { reason });
  else replace(said, notice("warn", "Give a reason", " first: it is told to whoever submitted the job."));
}

async function decide(id, what, more) {
  busy = id;
  seen = "";
  replace(said);
  try {
    await post(`approval/${what}`, { job_id: id, ...more });
    reasons.delete(id);
    replace(said, notice("good", `Job ${id} was ${what === "approve" ? "approved" : "refused"}.`));
  } catch (error) {
    replace(said, notice("bad", `Job ${id}: `, error.message));
  }
  busy = "";
  poll();
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    const jobs = (await get("approvals/data")) ?? [];
    const text = JSON.stringify(jobs);
    if (text !== seen) replace(body, jobs.length ? jobs.map(card) : el("p", { class: "quiet" }, "No job waits for approval."));
    seen = text;
    replace(trouble);
  } catch (error) {
    replace(trouble, notice("warn", "Approvals cannot be shown: ", error.message));
  }
  timer = setTimeout(poll, EVERY_MS);
}

replace(
  page,
  el("h1", {}, "Job approvals"),
  el("p", { class: "quiet" }, "Jobs of other sites whose policy here is to ask. Parameters stand in the job itself."),
  said,
  trouble,
  body,
);
page.setAttribute("aria-busy", "false");
document.addEventListener("visibilitychange", poll);
poll();
