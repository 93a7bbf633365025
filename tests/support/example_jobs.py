"""The reference's example jobs, run on a live site, and what their parties must find."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.support.live_site import LiveSite
from tests.support.plain_binning import PlainBins, PlainTable, plain_bins, read_csv
from tests.support.reference import reference_path

INTERSECT, BINNING = "intersect", "hetero_feature_binning"
LR = "hetero_logistic_regression"
SUITES = {
    INTERSECT: "intersect_testsuite.json",
    BINNING: "hetero_binning_testsuite.json",
    LR: "hetero_lr_testsuite.json",
}
CREDIT_ROWS = 2000
ENGINEERING = f"{LR}.lr_feature_engineering"
INTERSECT_JOBS = (
    "raw_intersect",
    "rsa_intersect",
    "rsa_intersect_cache",
    "rsa_intersect_cache_again",
    "rsa_intersect_multi_host",
    "raw_intersect_multi_host",
)
BINNING_JOBS = (
    "quantile_binning",
    "large_bin_nums_quantile",
    "multi_host_binning",
    "woe_binning",
    "bucket_binning",
    "sparse_bucket_binning",
    "category_binning",
    "optimal_iv",
    "optimal_gini",
    "optimal_chi_square",
    "optimal_ks",
    "sparse_optimal_iv",
    "sparse_optimal_gini",
    "sparse_optimal_chi_square",
    "sparse_optimal_ks",
    "multi_host_optimal",
    "multi_host_sparse_optimal",
    "asymmetric_job",
)
WITHOUT_DATAIO = "intersect_without_dataio"
JOBS = (
    *(f"{INTERSECT}.{name}" for name in INTERSECT_JOBS),
    f"{INTERSECT}.{WITHOUT_DATAIO}",
    *(f"{BINNING}.{name}" for name in BINNING_JOBS),
    ENGINEERING,
)

Document = dict[str, Any]


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def suite(folder: str) -> Document:
    document: Document = read_json(reference_path("examples-1.4", "dsl", folder, SUITES[folder]))
    return document


@dataclass
class ExampleJob:
    """A submitted example.

    Attributes:
        site: where it runs. job_id: its id. dsl, conf: as they were submitted.
    """

    site: LiveSite
    job_id: str
    dsl: Document
    conf: Document

    def parties(self, component: str) -> Iterator[tuple[str, int]]:
        """Roles and party ids that the component runs at; the arbiter has no data."""
        module = self.dsl["components"][component]["module"]
        for role, ids in self.conf["role"].items():
            if role == "arbiter" and module != "HeteroLR":
                continue
            yield from ((role, int(party_id)) for party_id in ids)

    def parameters(self, component: str, role: str, place: int = 0) -> Document:
        """What the conf says about a component of one party."""
        given = self.conf.get("role_parameters", {}).get(role, {}).get(component, {})
        own = {name: values[place] for name, values in given.items()}
        common: Document = self.conf.get("algorithm_parameters", {}).get(component, {})
        return {**common, **own}

    def post(self, path: str, **body: Any) -> Any:
        url = f"{self.site.url}/v1/{path}"
        return requests.post(url, json={"job_id": self.job_id, **body}, timeout=60).json()

    def component(self, what: str, component: str, role: str, party_id: int) -> Any:
        return self.post(
            f"tracking/component/{what}", component_name=component, role=role, party_id=party_id
        )


def documents(name: str) -> tuple[Document, Document]:
    """DSL and conf of an example."""
    folder, _, task = name.partition(".")
    if task == WITHOUT_DATAIO:
        files = {key: f"test_intersect_without_dataio_job_{key}.json" for key in ("dsl", "conf")}
    else:
        files = suite(folder)["tasks"][task]
    base = reference_path("examples-1.4", "dsl", folder)
    return read_json(base / files["dsl"]), read_json(base / files["conf"])


def data_file(site: LiveSite, file: str) -> Path:
    """A data file; the large ones cut to their first rows."""
    path = reference_path("examples-1.4", "data", Path(file).name)
    if not path.name.startswith("default_credit"):
        return path
    cut = site.home / path.name
    lines = path.read_text().splitlines(keepends=True)
    cut.write_text("".join(lines[: CREDIT_ROWS + 1]))
    return cut


def upload_tables(site: LiveSite) -> dict[tuple[str, str], Path]:
    """Upload what the examples read; namespace and name of every table -> its file."""
    tables = {}
    for folder in (INTERSECT, BINNING):
        for entry in suite(folder)["data"]:
            path = data_file(site, entry["file"])
            tables[entry["namespace"], entry["table_name"]] = path
            site.upload(path, entry["namespace"], entry["table_name"], head=entry["head"])
    # No suite names these two.
    for table, file in (("breast_b_0410", "breast_b.csv"), ("breast_a_0410", "breast_a.csv")):
        site.upload(data_file(site, file), "hetero", table)
    return tables


def submit(site: LiveSite, name: str) -> ExampleJob:
    """Submit an example as it is."""
    dsl, conf = documents(name)
    return ExampleJob(site, site.submit(dsl, conf), dsl, conf)


class Expected:
    """What a binning job's parties must find, computed in the clear."""

    def __init__(self, job: ExampleJob, files: Mapping[tuple[str, str], Path]) -> None:
        self.job = job
        self.files = files
        self.guest = self.table("guest", 0)
        assert self.guest.labels is not None
        self.labels = self.guest.labels
        self.adjustment = float(self.parameters("guest", 0)["adjustment_factor"])

    def parameters(self, role: str, place: int) -> Document:
        return self.job.parameters("hetero_feature_binning_0", role, place)

    def table(self, role: str, place: int) -> PlainTable:
        given = self.job.conf["role_parameters"][role]["args"]["data"]["train_data"][place]
        reading = self.job.parameters("dataio_0", role, place)
        is_tag = reading.get("input_format") == "tag"
        label = reading["label_name"] if reading["with_label"] else None
        path = self.files[given["namespace"], given["name"]]
        table = read_csv(path, label=label, is_tag=is_tag)
        if role == "host":
            assert table.ids == self.guest.ids
        return table

    def columns(self, role: str, place: int) -> dict[str, PlainBins]:
        table, param = self.table(role, place), self.parameters(role, place)
        names = list(table.columns)
        categories = {names[index] for index in param.get("category_indexes") or ()}
        categories |= {name for name in param.get("category_names") or () if name in names}
        return {
            name: plain_bins(
                values,
                self.labels,
                param,
                is_category=name in categories,
                adjustment=self.adjustment,
            )
            for name, values in table.columns.items()
        }
