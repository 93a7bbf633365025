"""Ids that stand in several rows of the guest, against plain set logic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fate_flow.crypto.rsa_blind import RsaKeyPair
from fate_flow.data.table import LABEL, SID, Table, TableKind, TableSchema, TableStore
from fate_flow.entities import Party
from fate_flow.errors import DataError, ProtocolError
from tests.support.instances import as_data, put_instances, put_raw
from tests.support.parties import Run, run_component
from tests.unit.components.test_intersection import GUEST, HOSTS, KEY, METHODS, ids_of, name_of

HOST = HOSTS[0]
#: Row key -> real id.
ROWS = {"r1": "7", "r2": "8", "r3": "7", "r10": "9", "12": "12", "r4": "7"}


@pytest.fixture(autouse=True)
def _short_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RsaKeyPair, "generate", lambda: KEY)


def put_guest(store: TableStore, rows: Mapping[str, str], kind: pa.DataType) -> Table:
    ids = pa.array(list(rows.values()), pa.string())
    data = pa.table(
        {
            SID: list(rows),
            LABEL: [position % 2 for position in range(len(rows))],
            "id": ids.cast(kind),
            "x": np.arange(len(rows), dtype=float),
        }
    )
    schema = TableSchema(TableKind.INSTANCES, "key", ("id", "x"), "y")
    return store.put("test", "data", data, schema)


def intersect(
    tmp_path: Path,
    rows: Mapping[str, str],
    *hosts: Sequence[str],
    kind: pa.DataType | None = None,
    **parameters: Any,
) -> Run:
    parties: list[Party] = [GUEST, *HOSTS[: len(hosts)]]
    stores = {party: TableStore(tmp_path / party.key) for party in parties}
    inputs = {GUEST: as_data(put_guest(stores[GUEST], rows, kind or pa.string()))}
    for party, ids in zip(parties[1:], hosts, strict=True):
        columns = {"z": [float(len(one)) + ord(one[0]) for one in ids]}
        inputs[party] = as_data(put_instances(stores[party], ids, columns))
    conf = {"repeated_id_process": True, **parameters}
    return run_component("Intersection", stores, dict.fromkeys(parties, conf), inputs)


def output(run: Run, party: Party) -> Table:
    table = run[party].output.data
    assert table is not None
    return table


def check(run: Run, rows: Mapping[str, str], *hosts: Sequence[str]) -> None:
    common = set(rows.values()).intersection(*hosts)
    kept = {key: place for place, (key, one) in enumerate(rows.items()) if one in common}
    guest = output(run, GUEST)
    assert guest.schema.header == ("x",)
    assert dict(zip(ids_of(run, GUEST), guest.features()[:, 0], strict=True)) == kept
    for party in HOSTS[: len(hosts)]:
        assert ids_of(run, party) == ids_of(run, GUEST)
        values = output(run, party).features()[:, 0]
        wanted = [float(len(rows[key])) + ord(rows[key][0]) for key in ids_of(run, party)]
        assert values.tolist() == wanted


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_hosts_repeat_their_rows_under_the_guests_keys(
    tmp_path: Path, method: dict[str, Any]
) -> None:
    host_ids = ["5", "7", "9", "12", "13"]
    run = intersect(tmp_path, ROWS, host_ids, **method)
    check(run, ROWS, host_ids)
    assert output(run, GUEST).labels().tolist() == [0, 0, 0, 1, 1]
    counts = [dict(run[party].tracker.points["train", "intersection"]) for party in (GUEST, HOST)]
    assert counts[0] == {"intersect_count": 5, "intersect_rate": 5 / 6}
    assert counts[1] == {"intersect_count": 5, "intersect_rate": 5 / 7}


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_several_hosts(tmp_path: Path, method: dict[str, Any]) -> None:
    hosts = ["7", "8", "12"], ["9", "12", "7"]
    check(intersect(tmp_path, ROWS, *hosts, **method), ROWS, *hosts)


@pytest.mark.parametrize("method", METHODS[:2], ids=name_of)
def test_only_common_ids_are_spoken_of(tmp_path: Path, method: dict[str, Any]) -> None:
    rows = {f"rowkey{i}": f"secret{i // 3}" for i in range(12)}
    run = intersect(tmp_path, rows, ["secret1"], **method)
    crossed = b"".join(record.data for record in run.mailbox.records)
    assert b"secret" not in crossed
    assert [key for key in rows if key.encode() in crossed] == ["rowkey3", "rowkey4", "rowkey5"]


@pytest.mark.parametrize("kind", [pa.float64(), pa.int64(), pa.string()], ids=str)
def test_ids_that_were_read_as_numbers(tmp_path: Path, kind: pa.DataType) -> None:
    check(intersect(tmp_path, ROWS, ["7", "12"], kind=kind), ROWS, ["7", "12"])


@pytest.mark.parametrize("bad", ["7.5", "nan", "1e17"])
def test_numbers_that_cannot_be_ids(tmp_path: Path, bad: str) -> None:
    with pytest.raises(DataError, match=r"column 'id' .* cannot be ids"):
        intersect(tmp_path, {"a": "7", "b": bad}, ["7"], kind=pa.float64())


def test_keys_only_and_without_synchronisation(tmp_path: Path) -> None:
    run = intersect(tmp_path / "keys", ROWS, ["7", "4"], only_output_key=True)
    for party, word in ((GUEST, 1), (HOST, "id")):
        assert output(run, party).arrow().to_pydict() == {
            "__sid__": ["r1", "r3", "r4"],
            "__value__": [word] * 3,
        }
    run = intersect(tmp_path / "alone", ROWS, ["7", "4"], sync_intersect_ids=False)
    assert ids_of(run, GUEST) == ["r1", "r3", "r4"]
    assert run[HOST].output.data is None


def test_raw_tables(tmp_path: Path) -> None:
    stores = {party: TableStore(tmp_path / party.key) for party in (GUEST, HOST)}
    rows = {GUEST: {"1": "b,0.5,1", "2": "c,0.25,2", "3": "b,,3", "4": "a"}, HOST: {"b": "7,8"}}
    inputs = {
        GUEST: as_data(put_raw(stores[GUEST], rows[GUEST], ["id", "x0", "x1"])),
        HOST: as_data(put_raw(stores[HOST], rows[HOST], ["z0", "z1"])),
    }
    conf = {"repeated_id_process": True, "intersect_method": "raw"}
    run = run_component("Intersection", stores, dict.fromkeys(rows, conf), inputs)
    guest = output(run, GUEST)
    assert guest.schema.header == ("x0", "x1")
    assert guest.arrow().to_pydict() == {"__sid__": ["1", "3"], "__value__": ["0.5,1", ",3"]}
    assert output(run, HOST).arrow().to_pydict() == {
        "__sid__": ["1", "3"],
        "__value__": ["7,8", "7,8"],
    }


def test_with_the_cache_of_signed_ids(tmp_path: Path) -> None:
    cached = {"intersect_method": "rsa", "intersect_cache_param": {"use_cache": True}}
    for _ in range(2):
        check(intersect(tmp_path, ROWS, ["7", "12"], **cached), ROWS, ["7", "12"])


def test_row_keys_that_do_not_fit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fate_flow.components.intersection import repeated

    original = repeated.send_texts
    monkeypatch.setattr(
        repeated, "send_texts", lambda f, v, texts, to: original(f, v, texts.slice(1), to)
    )
    with pytest.raises(ProtocolError, match="row keys that do not fit"):
        intersect(tmp_path, ROWS, ["7", "12"])


IDS = st.text("01aé", min_size=1, max_size=2)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.dictionaries(st.text("xyz1", min_size=1, max_size=3), IDS, min_size=1, max_size=12),
    st.lists(IDS, min_size=1, max_size=12, unique=True),
    st.sampled_from(METHODS[1:]),
)
def test_any_rows(
    tmp_path_factory: pytest.TempPathFactory,
    rows: dict[str, str],
    host_ids: list[str],
    method: dict[str, Any],
) -> None:
    folder = tmp_path_factory.mktemp("any")
    if set(rows.values()) & set(host_ids):
        check(intersect(folder, rows, host_ids, **method), rows, host_ids)
    else:
        with pytest.raises(DataError, match="the intersection is empty"):
            intersect(folder, rows, host_ids, **method)
