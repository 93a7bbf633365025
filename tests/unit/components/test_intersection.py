"""Intersection: all methods, several hosts, what crosses, and what an empty result says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fate_flow.components.intersection import stream
from fate_flow.components.intersection.encoding import encode_ids
from fate_flow.components.intersection.params import EncodeParam, IntersectParam
from fate_flow.crypto.rsa_blind import RsaKeyPair
from fate_flow.data.table import TableKind, TableStore
from fate_flow.entities import Party
from fate_flow.errors import DataError, FateFlowError, InvalidInputError, UnsupportedError
from fate_flow.federation.codec import decode
from fate_flow.runtime.context import TaskInputs
from tests.support.instances import as_data, put_instances, put_raw
from tests.support.parties import Run, run_component

KEY = RsaKeyPair.generate(1024)
GUEST = Party("guest", 9999)
HOSTS = [Party("host", 10000), Party("host", 10001)]

METHODS: list[dict[str, Any]] = [
    {"intersect_method": "rsa"},
    {"intersect_method": "ecdh"},
    {"intersect_method": "RAW"},
    {"intersect_method": "raw", "join_role": "host"},
    {
        "intersect_method": "raw",
        "join_role": "host",
        "with_encode": True,
        "encode_params": {"encode_method": "sha256", "salt": "12345", "base64": True},
    },
]


def name_of(method: Mapping[str, Any]) -> str:
    return "-".join(str(value) for value in method.values() if not isinstance(value, dict))


@pytest.fixture(autouse=True)
def _short_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RsaKeyPair, "generate", lambda: KEY)


def intersect(
    tmp_path: Path,
    guest_ids: Sequence[str],
    *hosts_ids: Sequence[str],
    at: Mapping[Party, Mapping[str, Any]] | None = None,
    **parameters: Any,
) -> Run:
    ids = dict(zip([GUEST, *HOSTS], [guest_ids, *hosts_ids], strict=False))
    stores = {party: TableStore(tmp_path / party.key) for party in ids}
    inputs: dict[Party, TaskInputs] = {}
    for party, own in ids.items():
        labels = np.arange(len(own)) % 2 if party == GUEST else None
        columns = {"x0": np.arange(len(own), dtype=float)}
        inputs[party] = as_data(put_instances(stores[party], own, columns, labels))
    given = {party: {**parameters, **(at or {}).get(party, {})} for party in ids}
    return run_component("Intersection", stores, given, inputs, work_dir=tmp_path)


def ids_of(run: Run, party: Party) -> list[str]:
    table = run[party].output.data
    assert table is not None
    ids: list[str] = table.ids().to_pylist()
    return ids


def test_defaults_are_those_of_fate() -> None:
    assert IntersectParam.defaults() == {
        "intersect_method": "rsa",
        "random_bit": 128,
        "sync_intersect_ids": True,
        "join_role": "guest",
        "with_encode": False,
        "encode_params": {"salt": "", "encode_method": "none", "base64": False},
        "only_output_key": False,
        "intersect_cache_param": {"use_cache": False, "id_type": "phone", "encrypt_type": "sha256"},
        "repeated_id_process": False,
        "repeated_id_owner": "guest",
    }


def test_bad_parameters_are_named_together() -> None:
    with pytest.raises(InvalidInputError) as caught:
        IntersectParam.from_conf(
            {"intersect_method": "dh", "encode_params": {"encode_method": "crc32"}}
        )
    assert [problem.path for problem in caught.value.problems] == [
        "intersect_method",
        "encode_params.encode_method",
    ]


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_common_rows_keep_values_labels_and_schema(tmp_path: Path, method: dict[str, Any]) -> None:
    run = intersect(tmp_path, ["5", "10", "3", "x"], ["10", "7", "5", "é", "100"], **method)
    assert ids_of(run, GUEST) == ids_of(run, HOSTS[0]) == ["5", "10"]
    table = run[GUEST].output.data
    assert table is not None
    assert table.schema.header == ("x0",)
    assert table.schema.label_name == "y"
    assert table.features().tolist() == [[0.0], [1.0]]
    assert table.labels().tolist() == [0, 1]


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_metrics_count_against_the_own_rows(tmp_path: Path, method: dict[str, Any]) -> None:
    run = intersect(tmp_path, ["5", "10", "3", "x"], ["10", "7", "5", "8", "9"], **method)
    for party, rate in ((GUEST, 0.5), (HOSTS[0], 0.4)):
        tracker = run[party].tracker
        assert tracker.points["train", "intersection"] == [
            ("intersect_count", 2),
            ("intersect_rate", rate),
        ]
        assert tracker.metas["train", "intersection"] == {
            "name": "intersection",
            "metric_type": "INTERSECTION",
        }


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_several_hosts(tmp_path: Path, method: dict[str, Any]) -> None:
    run = intersect(tmp_path, ["1", "2", "3", "4"], ["2", "3", "4"], ["9", "4", "2"], **method)
    for party in (GUEST, *HOSTS):
        assert ids_of(run, party) == ["2", "4"]


@pytest.mark.parametrize("method", METHODS[:3], ids=name_of)
def test_without_synchronisation_the_host_learns_nothing(
    tmp_path: Path, method: dict[str, Any]
) -> None:
    run = intersect(tmp_path, ["1", "2", "3"], ["2", "3", "4"], sync_intersect_ids=False, **method)
    assert ids_of(run, GUEST) == ["2", "3"]
    assert run[HOSTS[0]].output.data is None
    assert run[HOSTS[0]].tracker.points["train", "intersection"] == [
        ("intersect_count", -1),
        ("intersect_rate", -1),
    ]


def test_raw_at_the_host_without_synchronisation(tmp_path: Path) -> None:
    how: dict[str, Any] = {"intersect_method": "raw", "join_role": "host"}
    run = intersect(tmp_path, ["1", "2"], ["2", "4"], sync_intersect_ids=False, **how)
    assert ids_of(run, HOSTS[0]) == ["2"]
    assert run[GUEST].output.data is None
    with pytest.raises(UnsupportedError, match="sync_intersect_ids"):
        intersect(tmp_path, ["1"], ["1"], ["1"], sync_intersect_ids=False, **how)


@pytest.mark.parametrize(
    ("method", "at_guest", "at_host"),
    [("rsa", 1, "id"), ("ecdh", 1, "id"), ("raw", "intersect_id", "intersect_id")],
)
def test_keys_only(tmp_path: Path, method: str, at_guest: object, at_host: object) -> None:
    run = intersect(tmp_path, ["1", "2"], ["2", "4"], intersect_method=method, only_output_key=True)
    for party, value in ((GUEST, at_guest), (HOSTS[0], at_host)):
        table = run[party].output.data
        assert table is not None
        assert table.schema.kind is TableKind.KEYS
        assert table.arrow().to_pydict() == {"__sid__": ["2"], "__value__": [value]}


def test_raw_tables_stay_raw(tmp_path: Path) -> None:
    stores = {party: TableStore(tmp_path / party.key) for party in (GUEST, HOSTS[0])}
    rows = {GUEST: {"a": "1,0.5", "b": "0,0.25"}, HOSTS[0]: {"b": "7", "c": "8"}}
    inputs = {party: as_data(put_raw(stores[party], rows[party], ["y", "x0"])) for party in rows}
    run = run_component(
        "Intersection", stores, {party: {"intersect_method": "ecdh"} for party in rows}, inputs
    )
    table = run[GUEST].output.data
    assert table is not None
    assert table.schema.kind is TableKind.RAW
    assert table.arrow().to_pydict() == {"__sid__": ["b"], "__value__": ["0,0.25"]}


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_nothing_in_common_is_a_readable_failure(tmp_path: Path, method: dict[str, Any]) -> None:
    errors = failures(tmp_path, ["001", "002", "003"], ["1", "2"], **method)
    for party in (GUEST, HOSTS[0]):
        text = str(errors[party])
        assert isinstance(errors[party], DataError), text
        for part in ("guest 9999", "host 10000", "3", "2", "leading zeros"):
            assert part in text
        assert "001" not in text


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_one_host_with_nothing_in_common_is_named(tmp_path: Path, method: dict[str, Any]) -> None:
    errors = failures(tmp_path, ["1", "2", "3"], ["1", "2"], ["7", "8"], **method)
    assert all(isinstance(error, DataError) for error in errors.values())
    assert "and host 10001 (2 ids) have no id in common" in str(errors[GUEST])
    assert "host 10000" not in str(errors[GUEST])
    assert "common to all 2 hosts" in str(errors[HOSTS[0]])
    assert "host 10001 (2 ids) have no id in common" in str(errors[HOSTS[1]])


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_pairs_may_overlap_though_all_do_not(tmp_path: Path, method: dict[str, Any]) -> None:
    errors = failures(tmp_path, ["1", "2", "3"], ["1"], ["2", "8"], **method)
    assert "shares ids with each host, but none with all" in str(errors[GUEST])
    assert "common to all 2 hosts" in str(errors[HOSTS[1]])


def test_a_job_without_hosts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="one host or more"):
        intersect(tmp_path, ["1"], intersect_method="raw")


def failures(tmp_path: Path, *ids: Sequence[str], **parameters: Any) -> dict[Party, BaseException]:
    """Each party's error, though the runner raises only the first."""
    from tests.support import parties

    boxes: list[parties.Mailbox] = []
    original = parties.Mailbox

    def remember() -> parties.Mailbox:
        boxes.append(original())
        return boxes[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parties, "Mailbox", remember)
        with pytest.raises(FateFlowError):
            intersect(tmp_path, *ids, **parameters)
    return dict(boxes[0].failed)


def test_repeated_ids_of_which_only_the_host_would_know_are_refused() -> None:
    conf = {"repeated_id_process": True, "intersect_method": "raw", "join_role": "host"}
    assert IntersectParam.from_conf(conf).repeated_id_process
    with pytest.raises(InvalidInputError, match="sync_intersect_ids true"):
        IntersectParam.from_conf({**conf, "sync_intersect_ids": False})


GUEST_ONLY = [f"guestsecret{i:04d}" for i in range(40)]
HOST_ONLY = [f"hostsecret{i:04d}" for i in range(40)]
SHARED = [f"shared{i:04d}" for i in range(40)]


@pytest.mark.parametrize("method", ["rsa", "ecdh"])
def test_no_id_and_no_plain_hash_of_one_crosses(tmp_path: Path, method: str) -> None:
    run = intersect(tmp_path, GUEST_ONLY + SHARED, HOST_ONLY + SHARED, intersect_method=method)
    assert ids_of(run, GUEST) == SHARED
    assert {record.sender for record in run.mailbox.records} == {GUEST, HOSTS[0]}
    crossed = b"\n".join(record.data for record in run.mailbox.records)
    for text in GUEST_ONLY + HOST_ONLY + SHARED:
        assert text.encode() not in crossed
        digest = hashlib.sha256(text.encode())
        assert digest.digest() not in crossed
        assert digest.hexdigest().encode() not in crossed


@pytest.mark.parametrize("method", ["rsa", "ecdh"])
def test_what_a_party_sends_of_its_own_is_sorted_or_random(tmp_path: Path, method: str) -> None:
    """The order of what crosses does not follow the order of the ids."""
    run = intersect(tmp_path, GUEST_ONLY + SHARED, HOST_ONLY + SHARED, intersect_method=method)
    names = {
        "rsa": ("intersect_host_ids_process", "intersect_ids"),
        "ecdh": ("guest_blinded_ids", "host_blinded_ids"),
    }[method]
    for name in names:
        rows = [bytes(row) for row in _matrix(run, name)]
        assert len(rows) in (40, 80)
        assert rows == sorted(rows)
    if method == "ecdh":
        places = _matrix(run, "intersect_ids").view("<i8").ravel()
        assert places.tolist() == sorted(places.tolist())


def test_encoded_raw_ids_do_not_cross(tmp_path: Path) -> None:
    run = intersect(tmp_path, GUEST_ONLY + SHARED, HOST_ONLY + SHARED, **METHODS[4])
    crossed = b"\n".join(record.data for record in run.mailbox.records)
    assert not any(text.encode() in crossed for text in GUEST_ONLY + HOST_ONLY + SHARED)


def test_two_runs_share_nothing_that_could_be_linked(tmp_path: Path) -> None:
    rows = []
    for name in ("one", "two"):
        run = intersect(tmp_path / name, SHARED, SHARED, intersect_method="ecdh")
        rows.append({bytes(row) for row in _matrix(run, "guest_blinded_ids")})
    assert not rows[0] & rows[1]


def _matrix(run: Run, variable: str) -> np.ndarray[Any, Any]:
    chunks = [
        decode(record.data)
        for record in run.mailbox.records
        if record.variable == variable and not record.tag.endswith("head")
    ]
    return np.concatenate(chunks)


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_chunks_are_bounded(
    tmp_path: Path, method: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHUNK_BYTES", 512)
    run = intersect(tmp_path, GUEST_ONLY + SHARED, HOST_ONLY + SHARED, **method)
    assert ids_of(run, GUEST) == ids_of(run, HOSTS[0]) == SHARED
    assert max(len(record.data) for record in run.mailbox.records) < 3000
    assert len(run.mailbox.records) > 5


IDS = st.lists(st.text("01aé ", min_size=1, max_size=3), min_size=1, max_size=12, unique=True)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(IDS, IDS, st.sampled_from(METHODS[1:]))
def test_any_ids(
    tmp_path_factory: pytest.TempPathFactory,
    guest_ids: list[str],
    host_ids: list[str],
    method: dict[str, Any],
) -> None:
    tmp_path = tmp_path_factory.mktemp("any")
    expected = set(guest_ids) & set(host_ids)
    if not expected:
        with pytest.raises(DataError, match="intersection is empty"):
            intersect(tmp_path, guest_ids, host_ids, **method)
        return
    run = intersect(tmp_path, guest_ids, host_ids, **method)
    assert set(ids_of(run, GUEST)) == expected
    assert ids_of(run, GUEST) == ids_of(run, HOSTS[0])


def test_encodings() -> None:
    ids = pa.array(["a"])
    digest = hashlib.md5(b"asalt")
    param = EncodeParam(salt="salt", encode_method="md5")
    assert encode_ids(ids, param).to_pylist() == [digest.hexdigest()]
    param.base64 = True
    assert encode_ids(ids, param).to_pylist() == ["9P+1gdtMKZVhOZ/GIThTfg=="]
