"""All that crosses the gateway in a main job: no party's secrets are in it.

The job is run twice: with its components in this process, where every message can be decoded
and every ciphertext decrypted, and on a live site whose tasks reach the gateway through a
relay that keeps the bytes. A secret is searched for in every form of
:mod:`tests.support.secret_forms`, and numbers among the decoded values too.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.paillier import PrivateKey
from fate_flow.crypto.rsa_blind import RsaKeyPair
from fate_flow.data.table import Table, TableStore
from fate_flow.federation.codec import decode
from fate_flow.runtime.context import TaskInputs
from tests.support.instances import as_data, put_instances
from tests.support.live_jobs import ARBITER, GUEST, HOST, main_job, upload_rows
from tests.support.live_site import LiveSite, started
from tests.support.parties import Record, Run, run_component
from tests.support.secret_forms import (
    COMMON,
    GUEST_COLUMNS,
    GUEST_ROWS,
    HOST_COLUMNS,
    HOST_ROWS,
    Secrets,
    forms_of_number,
    search,
)
from tests.support.wire import Relay


def test_the_search_finds_what_is_there() -> None:
    """Each form of each secret is found when it is sent."""
    known = Secrets.make()
    for name, form in known.forms():
        assert search({"message": b"before" + form + b"after"}, [(name, form)])
    assert not search({"message": secrets.token_bytes(100_000)}, known.forms())


# -- components in this process ----------------------------------------------------------------


@dataclass
class MainJob:
    """Records of Intersection, binning, selection and HeteroLR, and the keys that were made."""

    secrets: Secrets
    records: list[Record] = field(default_factory=list)
    keys: list[PrivateKey] = field(default_factory=list)

    def messages(self) -> dict[str, bytes]:
        return {
            f"{i} {r.variable} {r.tag} {r.sender} -> {r.receiver}": r.data
            for i, r in enumerate(self.records)
        }

    def columns(self, variable: str) -> list[CipherColumn]:
        """Ciphertext columns of all messages of a variable."""
        return [
            column
            for record in self.records
            if record.variable == variable
            for column, _ in self.ciphertexts(record)
        ]

    def ciphertexts(self, record: Record) -> Iterator[tuple[CipherColumn, PrivateKey]]:
        for leaf in _leaves(decode(record.data)):
            if isinstance(leaf, (pa.RecordBatch, pa.Table)):
                batches = leaf.to_batches() if isinstance(leaf, pa.Table) else [leaf]
                for batch in batches:
                    for key in self.keys:
                        try:
                            yield CipherColumn.from_arrow(batch, key.public), key
                        except Exception:  # another key's, or no ciphertexts
                            continue


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _numbers(value: Any) -> Iterator[float]:
    """All numbers of a decoded value."""
    for leaf in _leaves(value):
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "iuf":
            yield from leaf.astype(float).ravel()
        elif isinstance(leaf, (int, float)) and not isinstance(leaf, bool) and abs(leaf) < 1e300:
            yield float(leaf)
        elif isinstance(leaf, (pa.RecordBatch, pa.Table)):
            for column in leaf.columns:
                if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
                    yield from column.to_numpy(zero_copy_only=False).astype(float)


@pytest.fixture(scope="module", params=["rsa", "ecdh"])
def job(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MainJob]:
    patch = pytest.MonkeyPatch()
    made = MainJob(Secrets.make())
    generate, rsa = PrivateKey.generate, RsaKeyPair.generate(1024)

    def generate_and_keep(bits: int = 2048) -> PrivateKey:
        made.keys.append(generate(bits))
        return made.keys[-1]

    patch.setattr(PrivateKey, "generate", generate_and_keep)
    patch.setattr(RsaKeyPair, "generate", lambda *_: rsa)
    try:
        _run_main_job(made, request.param, tmp_path_factory.mktemp(request.param))
        yield made
    finally:
        patch.undo()


def _run_main_job(
    job: MainJob, method: str, folder: Path, *, only_intersection: bool = False
) -> None:
    stores = {party: TableStore(folder / party.key) for party in (GUEST, HOST, ARBITER)}
    known = job.secrets
    tables = {
        GUEST: put_instances(
            stores[GUEST],
            known.guest_ids,
            {f"x{i}": known.guest[:, i] for i in range(GUEST_COLUMNS)},
            known.labels,
        ),
        HOST: put_instances(
            stores[HOST], known.host_ids, {f"x{i}": known.host[:, i] for i in range(HOST_COLUMNS)}
        ),
    }

    def run(module: str, inputs: Mapping[Any, TaskInputs], **parameters: Any) -> Run:
        conf = dict.fromkeys(inputs, parameters)
        result = run_component(module, stores, conf, inputs, work_dir=folder, deadline=200)
        job.records += result.mailbox.records
        return result

    def tables_of(result: Run) -> dict[Any, Table]:
        found = {party: result[party].output.data for party in (GUEST, HOST)}
        return {party: table for party, table in found.items() if table is not None}

    met = run(
        "Intersection",
        {party: as_data(table) for party, table in tables.items()},
        intersect_method=method,
    )
    if only_intersection:
        return
    short = {"method": "Paillier", "key_length": 1024}
    binned = run(
        "HeteroFeatureBinning",
        {party: as_data(table) for party, table in tables_of(met).items()},
        bin_num=5,
        encrypt_param=short,
        transform_param={"transform_cols": None, "transform_names": None, "transform_type": None},
    )
    selected = run(
        "HeteroFeatureSelection",
        {
            party: TaskInputs(
                data={"source": {"data": table}},
                isometric_model={"hetero_feature_binning_0": binned[party].model()},
            )
            for party, table in tables_of(binned).items()
        },
        filter_methods=["unique_value", "iv_value_thres"],
        unique_param={"eps": 1e-5},
        iv_value_param={"value_threshold": 0.0},
    )
    inputs = {
        party: TaskInputs(data={"source": {"train_data": table}})
        for party, table in tables_of(selected).items()
    }
    run(
        "HeteroLR",
        {**inputs, ARBITER: TaskInputs(data={"source": {"train_data": None}})},
        max_iter=3,
        batch_size=16,
        encrypt_param=short,
        penalty="L2",
    )


def test_every_component_has_exchanged_something(job: MainJob) -> None:
    variables = {record.variable for record in job.records}
    assert {"host_forward_dict", "fore_gradient", "host_gradient", "loss"} <= variables
    assert len(job.keys) == 2, "binning's and HeteroLR's"
    pairs = {(record.sender, record.receiver) for record in job.records}
    assert pairs == {(a, b) for a in (GUEST, HOST, ARBITER) for b in (GUEST, HOST, ARBITER)} - {
        (party, party) for party in (GUEST, HOST, ARBITER)
    }


def test_no_secret_crosses_in_any_form(job: MainJob) -> None:
    assert search(job.messages(), job.secrets.forms()) == []


def test_no_secret_number_is_among_the_decoded_ones(job: MainJob) -> None:
    known = {round(float(value), 9) for value in job.secrets.numbers}
    for record in job.records:
        found = {round(value, 9) for value in _numbers(decode(record.data))}
        assert not (found & known), f"{record.variable} {record.sender} -> {record.receiver}"


def test_residuals_and_labels_cross_under_encryption_only(job: MainJob) -> None:
    """The residuals, decrypted with the key that no one but the arbiter has, stand nowhere."""
    residuals = [
        float(value)
        for column in job.columns("fore_gradient")
        for value in column.decrypt(job.keys[-1])
    ]
    assert len(residuals) >= 3 * COMMON
    forms = [form for value in residuals for form in forms_of_number("residual", value)]
    forms = [(name, form) for name, form in forms if name != "residual as text"]
    assert search(job.messages(), forms) == []
    known = {round(value, 9) for value in residuals}
    for record in job.records:
        found = {round(value, 9) for value in _numbers(decode(record.data))}
        assert not (found & known), record.variable


def test_who_holds_a_key_gets_no_value_per_row_under_it(job: MainJob) -> None:
    """What the owner of a key can decrypt are sums over rows: never one value per row."""
    owners = {0: GUEST, 1: ARBITER}
    secret = {round(float(value), 6) for value in job.secrets.numbers}
    seen = 0
    for record in job.records:
        for column, key in job.ciphertexts(record):
            if record.receiver != owners[job.keys.index(key)]:
                continue
            seen += 1
            assert len(column) not in (COMMON, 16, COMMON % 16), record.variable
            if record.variable.startswith(("loss", "host_gradient", "guest_gradient")):
                values = column.decrypt(key)
                assert not {round(float(v), 6) for v in values} & secret, record.variable
    assert seen > 3


def test_only_the_prediction_tells_anything_per_row_in_clear(job: MainJob) -> None:
    for record in job.records:
        if record.variable == "host_prob":
            assert (record.sender, record.receiver) == (HOST, GUEST)
            continue
        for leaf in _leaves(decode(record.data)):
            if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f":
                assert leaf.size not in (COMMON, GUEST_ROWS, HOST_ROWS, 16), record.variable


def test_no_private_key_crosses(job: MainJob) -> None:
    forms = []
    for key in job.keys:
        for factor in (int(key._p), int(key._q)):
            size = (factor.bit_length() + 7) // 8
            forms += [
                ("factor as text", str(factor).encode()[:40]),
                ("factor in hexadecimal", f"{factor:x}".encode()[:40]),
                ("factor", factor.to_bytes(size, "big")[:24]),
                ("factor", factor.to_bytes(size, "little")[:24]),
            ]
    assert search(job.messages(), forms) == []


def test_the_raw_method_does_tell_ids(tmp_path: Path) -> None:
    """What ``raw`` is: one side's ids in clear. It shows that the search sees real messages."""
    job = MainJob(Secrets.make())
    _run_main_job(job, "raw", tmp_path, only_intersection=True)
    found = search(job.messages(), job.secrets.forms())
    assert found
    assert all(line.startswith(("id as text", "part of an id as text")) for line in found)


# -- a live site --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def relayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveSite, Relay]]:
    """A site whose tasks reach the gateway through a relay."""
    relay = Relay()
    connection = json.dumps(
        {"conn_type": "fate_flow_peer", "host": "127.0.0.1", "port": relay.port}
    )
    home = tmp_path_factory.mktemp("relayed") / "site"
    environment = {"AIRFLOW_CONN_FATE_FLOW_GATEWAY": connection}
    try:
        with started(home, environment=environment) as site:
            relay.target = site.grpc_port
            yield site, relay
    finally:
        relay.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["rsa", "ecdh"])
def test_a_live_job_keeps_its_parties_secrets(relayed: tuple[LiveSite, Relay], method: str) -> None:
    site, relay = relayed
    known = Secrets.make()
    _upload(site, f"{method}_guest", known.guest_ids, known.guest, known.labels)
    _upload(site, f"{method}_host", known.host_ids, known.host, None)
    dsl, conf = main_job(method, guest=f"{method}_guest", host=f"{method}_host")
    binning = conf["algorithm_parameters"]["hetero_feature_binning_0"]
    binning["transform_param"] = {"transform_cols": None, "transform_type": None}
    job_id = site.finish(dsl, conf)
    payloads = relay.payloads()
    assert sum(map(len, payloads)) > 50_000
    found = {f"stream {number}": payload for number, payload in enumerate(payloads)}
    joined = b"".join(payloads)
    for expected in (b"hetero_lr_0", b"host_forward_dict", job_id.encode()):
        assert expected in joined, "the relay has not seen the job"
    assert search(found, known.forms()) == []
    with site.gateway() as gateway:
        assert gateway.mailbox(job_id) == []


def _upload(
    site: LiveSite,
    name: str,
    ids: list[str],
    block: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any] | None,
) -> None:
    header = ["id", *(f"x{i}" for i in range(block.shape[1]))]
    rows = [[sid, *(f"{value:.6f}" for value in row)] for sid, row in zip(ids, block, strict=True)]
    if labels is not None:
        header.insert(1, "y")
        for row, label in zip(rows, labels, strict=True):
            row.insert(1, str(label))
    upload_rows(site, name, header, rows)
