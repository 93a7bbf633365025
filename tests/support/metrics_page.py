"""A made-up job with everything that the metrics page can show, and hands on that page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from fate_flow.data.table import LABEL, SID, TableKind, TableSchema
from fate_flow.db.models import JobDetail, Task
from fate_flow.ml.evaluation import binary_report
from fate_flow.models.proto.feature_binning_param_pb2 import (
    FeatureBinningParam,
    FeatureBinningResult,
    IVParam,
)
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam
from fate_flow.tracking import store as tracking
from fate_flow.tracking.store import TaskScope
from tests.support.browser import Browser
from tests.support.site import MODEL_ID, Site, add_job, add_task

JOB = "2026010112000012345612"
BINARY = ("auc", "ks", "lift", "gain", "accuracy", "precision", "recall", "roc")
DSL = {
    "components": {
        "dataio_0": {
            "module": "DataIO",
            "input": {"data": {"data": ["args.train_data"]}},
            "output": {"data": ["train"], "model": ["dataio"]},
        },
        "binning_0": {
            "module": "HeteroFeatureBinning",
            "input": {"data": {"data": ["dataio_0.train"]}},
            "output": {"data": ["train"], "model": ["binning"]},
        },
        "lr_0": {
            "module": "HeteroLR",
            "input": {"data": {"train_data": ["binning_0.train"]}},
            "output": {"data": ["train"], "model": ["lr"]},
        },
        "evaluation_0": {"module": "Evaluation", "input": {"data": {"data": ["lr_0.train"]}}},
    }
}


def page_of(job_id: str = JOB) -> str:
    return f"/v1/ui/run/fate_flow_{job_id}/{job_id}"


def fill(site: Site, *, status: str = "success", features: int = 12, odd: str = "") -> None:
    """A job of four components at a guest and a host, with everything that a page can show."""
    parameters = {"model_id": MODEL_ID, "model_version": JOB}
    names = [f"x{index}{odd}" for index in range(features)]
    with site.session() as session:
        add_job(session, JOB, dsl=DSL, status=status, parameters=parameters)
        session.add(JobDetail(f_job_id=JOB))
        for component in DSL["components"]:
            add_task(session, component, job_id=JOB)
            add_task(session, component, "host", 10000, job_id=JOB)
        for row in session.query(Task):
            row.f_start_time, row.f_end_time = 1_767_268_800_000, 1_767_268_803_200
        session.flush()
        lr = TaskScope(JOB, "lr_0", "guest", "9999")
        tracking.add_metrics(
            session,
            lr,
            "train",
            "loss",
            [(i, 0.7 / (i + 1)) for i in range(5)],
            {"metric_type": "LOSS", "unit_name": "iters"},
        )
        for seed, data_set in enumerate(("train", "validate")):
            _evaluate(session, data_set, seed, f"lr_0{odd}")
        table = pa.table(
            {
                SID: [f"u{i}" for i in range(150)],
                LABEL: [i % 2 for i in range(150)],
                **{name: np.linspace(0, 1, 150) for name in names},
            }
        )
        schema = TableSchema(TableKind.INSTANCES, f"id{odd}", tuple(names), "y")
        site.tables.put("ns", "out", table, schema)
        tracking.save_data_view(session, lr, table_namespace="ns", table_name="out")
    _save_models(site, names)


def _evaluate(session: Any, data_set: str, seed: int, source: str) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.random(300) < 0.4
    score = np.clip(0.4 * positive + 0.6 * rng.random(300), 0, 1)
    scope = TaskScope(JOB, "evaluation_0", "guest", "9999")
    for series in binary_report(source, positive, score, BINARY):
        tracking.add_metrics(session, scope, data_set, series.name, series.points, series.meta)


def _save_models(site: Site, names: list[str]) -> None:
    weights = {name: (-1) ** i / (i + 1) for i, name in enumerate(names)}
    lr = LRModelParam(weight=weights, header=names, intercept=0.5, iters=5, is_converged=True)
    bins = {
        name: IVParam(
            woe_array=[0.5, -0.25],
            iv_array=[0.2, 0.1],
            event_count_array=[30, 10],
            non_event_count_array=[20, 40],
            event_rate_array=[0.75, 0.25],
            non_event_rate_array=[0.33, 0.67],
            split_points=[0.5, 1.0],
            iv=1 / (i + 1),
        )
        for i, name in enumerate(names)
    }
    own = FeatureBinningResult(binning_result=bins, role="guest", party_id="9999")
    binning = FeatureBinningParam(binning_result=own, host_results=[own], header=names)
    party = f"guest#9999#{MODEL_ID}"
    site.models.save(party, JOB, "lr_0", "HeteroLR", "lr", {"LRModelParam": lr})
    site.models.save(
        party,
        JOB,
        "binning_0",
        "HeteroFeatureBinning",
        "binning",
        {"FeatureBinningParam": binning},
    )


def text_of(browser: Browser) -> str:
    return str(browser.run("return document.body.innerText"))


def pick(browser: Browser, component: str, party: str = "guest 9999") -> None:
    browser.until(
        "const found = [...document.querySelectorAll('.party')].find((one) =>"
        " one.dataset.component === arguments[0] && one.dataset.party === arguments[1]);"
        " if (found) found.click(); return Boolean(found)",
        component,
        party,
    )
    browser.until(
        "const at = document.querySelector('.detail h2');"
        " return at && at.textContent === arguments[0] && document.querySelector('[role=tab]')",
        component,
    )


def open_tab(browser: Browser, name: str) -> None:
    browser.run("document.getElementById(`tab-${arguments[0]}`).click()", name)


def titles_of(browser: Browser) -> list[str]:
    return list(
        browser.run("return [...document.querySelectorAll('.panels h3')].map((h) => h.textContent)")
    )
