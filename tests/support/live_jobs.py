"""Jobs for tests on a live site: small data, short keys, few iterations."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fate_flow.cli import demo_data
from fate_flow.cli.demo import example_folder
from fate_flow.entities import Party
from tests.support.live_site import LiveSite

GUEST = Party("guest", 9999)
HOST = Party("host", 10000)
ARBITER = Party("arbiter", 10000)
NAMESPACE = "live_jobs"

Document = dict[str, Any]


def upload_breast(site: LiveSite) -> None:
    """The demo's breast-cancer data, guest's and host's part."""
    if (NAMESPACE, "host") in site.tables:
        return
    files = demo_data.write(site.home / "breast")
    site.upload(files.guest, NAMESPACE, "guest")
    site.upload(files.host, NAMESPACE, "host")


def upload_rows(site: LiveSite, name: str, header: Sequence[str], rows: Sequence[Any]) -> None:
    """A table of a few rows."""
    path = site.home / f"{name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    site.upload(path, NAMESPACE, name)


def upload_small(site: LiveSite) -> None:
    """Sixty rows that both parties have, two features each."""
    rows = [(f"u{i:03d}", i % 2, i / 10, -i / 7) for i in range(60)]
    upload_rows(site, "small_guest", ("id", "y", "x0", "x1"), rows)
    upload_rows(
        site, "small_host", ("id", "x0", "x1"), [(row[0], row[2] % 3, row[3] % 2) for row in rows]
    )


def example(name: str) -> tuple[Document, Document]:
    """DSL and conf of a shipped example."""
    folder = example_folder(name)
    return (
        json.loads((folder / "dsl.json").read_text()),
        json.loads((folder / "conf.json").read_text()),
    )


def main_job(
    intersect: str = "ecdh", *, guest: str = "guest", host: str = "host", **lr: Any
) -> tuple[Document, Document]:
    """The shipped main job (DataIO to Evaluation) with a 1024-bit key and few iterations."""
    dsl, conf = example("hetero_lr")
    read(conf, guest, host)
    parameters = conf["algorithm_parameters"]
    parameters["intersection_0"]["intersect_method"] = intersect
    parameters["hetero_lr_0"].update(
        max_iter=3, encrypt_param={"method": "Paillier", "key_length": 1024}
    )
    parameters["hetero_lr_0"].update(lr)
    return dsl, conf


def lr_job(**lr: Any) -> tuple[Document, Document]:
    """DataIO, Intersection, HeteroLR only: as short as a job with three parties can be."""
    dsl, conf = main_job(**lr)
    components = dsl["components"]
    for name in ("hetero_feature_binning_0", "hetero_feature_selection_0", "evaluation_0"):
        del components[name]
        conf["algorithm_parameters"].pop(name, None)
    del conf["role_parameters"]["host"]["evaluation_0"]
    components["hetero_lr_0"]["input"]["data"]["train_data"] = ["intersection_0.train"]
    return dsl, conf


def long_job() -> tuple[Document, Document]:
    """A job whose HeteroLR runs for a minute or more, to be stopped or hurt."""
    return lr_job(max_iter=100_000, tol=0.0, learning_rate=1e-6)


def small_job() -> tuple[Document, Document]:
    """DataIO at two parties on a few rows."""
    dsl, conf = main_job(guest="small_guest", host="small_host")
    dsl["components"] = {"dataio_0": dsl["components"]["dataio_0"]}
    del conf["role_parameters"]["host"]["evaluation_0"]
    conf["algorithm_parameters"] = {}
    return dsl, conf


def read(conf: Document, guest: str, host: str) -> None:
    """Make the parties read other tables."""
    for role, name in (("guest", guest), ("host", host)):
        data = conf["role_parameters"][role]["args"]["data"]
        data["train_data"] = [{"namespace": NAMESPACE, "name": name}]


def changed(document: Mapping[str, Any], path: str, value: Any) -> Document:
    """A copy with the value at a dotted path replaced (list indices as numbers)."""
    result: Document = copy.deepcopy(dict(document))
    *way, last = path.split(".")
    place: Any = result
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[int(last) if isinstance(place, list) else last] = value
    return result


def weights(
    site: LiveSite,
    job_id: str,
    component: str = "hetero_lr_0",
    parties: Sequence[Party] = (GUEST, HOST),
) -> dict[str, float]:
    """Weights of a HeteroLR model by ``party.feature``, with the guest's intercept."""
    found: dict[str, float] = {}
    for party in parties:
        model, _ = site.client.output_model(job_id, component, party.role, party.party_id)
        for name, value in model["weight"].items():
            found[f"{party.role}.{name}"] = float(value)
        if party == GUEST:
            found["intercept"] = float(model["intercept"])
    return found
