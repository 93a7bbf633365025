// What stands above the components: status, progress, parties, times, model, and why a job failed.

import { intoAirflow, isFramed } from "./api.js";
import { el } from "./dom.js";
import { duration, moment } from "./format.js";
import { badge, definitions, notice, progressBar } from "./parts.js";

export function head(job) {
  return [
    el(
      "div",
      { class: "title-row" },
      el("h1", {}, "Job ", el("span", { class: "mono" }, job.id)),
      badge(job.status),
      el("span", { class: "kind" }, job.kind),
      el("span", { class: "spacer" }),
      el("a", { href: document.body.dataset.root, class: "quiet-link", "data-key": "all-jobs" }, "All jobs"),
      !isFramed && job.airflow && intoAirflow(el("a", { class: "quiet-link", "data-key": "run" }, "Run in Airflow"), job.airflow),
    ),
    el(
      "div",
      { class: "progress-row" },
      progressBar(job.progress, "progress of the job", job.status),
      el("span", { class: "progress-text" }, `${job.progress} %`),
    ),
    reason(job),
    job.warnings.length > 0 &&
      notice("warn", "Accepted with warnings", el("ul", {}, job.warnings.map((text) => el("li", {}, text)))),
    job.status === "waiting" && notice("quiet", "", job.waits_for || "The job waits for its turn; it starts by itself."),
    job.status !== "waiting" && job.waits_for && notice("warn", "", job.waits_for),
    definitions([
      ["initiator", `${job.initiator.role} ${job.initiator.party_id}`],
      ["parties", parties(job)],
      ["submitted", moment(job.created)],
      job.started && ["duration", duration((job.ended ?? Date.now()) - job.started)],
      job.model && ["model id", el("span", { class: "mono" }, job.model.id)],
      job.model && ["model version", el("span", { class: "mono" }, job.model.version)],
      job.data.length > 0 && ["data", data(job)],
      job.notes && ["notes", job.notes],
    ].filter(Boolean)),
  ];
}

function parties(job) {
  return job.roles.map(({ role, parties: ids }) => `${role} ${ids.join(", ")}`).join(" · ");
}

function data(job) {
  return job.data.map((one) => `${one.party}: ${one.table}`).join(" · ");
}

function reason(job) {
  if (job.reason === null) return null;
  const { text, component, party } = job.reason;
  const isPlaced = component && text.includes(component); // the text says where already
  const where = isPlaced ? "" : [component, party && `at ${party.role} ${party.party_id}`].filter(Boolean).join(" ");
  const title = { canceled: "Stopped", timeout: "Timed out" }[job.status] ?? "Failed";
  return notice(
    job.status === "canceled" ? "warn" : "bad",
    where ? `${title}: ${where}` : title,
    el("p", { class: "reason" }, text),
  );
}
