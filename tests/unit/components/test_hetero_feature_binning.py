"""HeteroFeatureBinning: what is learned, what crosses, what a loaded model does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fate_flow.components.hetero_feature_binning.model import read_model
from fate_flow.components.hetero_feature_binning.params import FeatureBinningParam
from fate_flow.crypto.paillier import PrivateKey
from fate_flow.data.table import TableStore
from fate_flow.entities import Party
from fate_flow.errors import DataError, InvalidInputError, ProtocolError, UnsupportedError
from fate_flow.federation.codec import decode
from fate_flow.ml.binning_iv import information_value
from fate_flow.runtime.context import TaskInputs
from tests.support.instances import as_data, put_instances
from tests.support.parties import Run, run_component

GUEST = Party("guest", 9999)
HOSTS = [Party("host", 10000), Party("host", 10001)]
ROWS = 120
KEY = PrivateKey.generate(1024)


@pytest.fixture(autouse=True)
def _short_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PrivateKey, "generate", lambda: KEY)


class World:
    """Tables of all parties, made from one seed."""

    def __init__(self, folder: Path, hosts: int = 1, seed: int = 1) -> None:
        generator = np.random.default_rng(seed)
        self.parties = [GUEST, *HOSTS[:hosts]]
        self.stores = {party: TableStore(folder / party.key) for party in self.parties}
        self.ids = [f"row{index:05d}" for index in range(ROWS)]
        self.labels = generator.integers(0, 2, ROWS)
        self.columns: dict[Party, dict[str, np.ndarray]] = {}
        for party in self.parties:
            self.columns[party] = {
                "a": generator.normal(size=ROWS) + self.labels,
                "b": generator.normal(size=ROWS) * 3.5,
                "c": generator.integers(0, 3, ROWS).astype(float),
            }

    def inputs(self) -> dict[Party, TaskInputs]:
        return {
            party: as_data(
                put_instances(
                    self.stores[party],
                    self.ids,
                    self.columns[party],
                    self.labels if party == GUEST else None,
                )
            )
            for party in self.parties
        }

    def run(self, at: Mapping[Party, Mapping[str, Any]] | None = None, **parameters: Any) -> Run:
        given = {party: {**parameters, **(at or {}).get(party, {})} for party in self.parties}
        return run_component("HeteroFeatureBinning", self.stores, given, self.inputs())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_information_of_a_host_is_what_its_plain_labels_would_give(tmp_path: Path) -> None:
    world = World(tmp_path, hosts=2)
    run = world.run(bin_num=6)
    model = read_model(run[GUEST].model())
    assert [party for party, _ in model.hosts] == HOSTS
    for party, columns in [(GUEST, model.information), *model.hosts]:
        own = read_model(run[party].model())
        assert not own.information or party == GUEST
        for place, (name, information) in enumerate(columns.items()):
            source = ["a", "b", "c"][place]
            assert name == (source if party == GUEST else f"host.{place}")
            splits = own.splits[source]
            codes = np.minimum(
                np.searchsorted(splits, world.columns[party][source]), len(splits) - 1
            )
            events = np.bincount(codes, weights=world.labels, minlength=len(splits))
            counts = np.bincount(codes, minlength=len(splits))
            expected = information_value(events, counts - events, 0.5)
            assert information.events.tolist() == expected.events.tolist()
            assert information.total == pytest.approx(expected.total, abs=1e-12)


def test_output_has_bin_numbers(world: World) -> None:
    run = world.run(bin_num=4, transform_param={"transform_cols": [0]})
    for party in world.parties:
        table = run[party].output.data
        assert table is not None
        features = table.features()
        assert set(features[:, 0]) == {0.0, 1.0, 2.0, 3.0}
        assert np.array_equal(features[:, 1], world.columns[party]["b"])
        order = np.argsort(world.columns[party]["a"], kind="stable")
        assert (np.diff(features[order, 0]) >= 0).all()
    assert run[GUEST].output.data.labels().tolist() == world.labels.tolist()  # type: ignore[union-attr]


def test_woe_replaces_values_at_the_guest_only(world: World) -> None:
    run = world.run(bin_num=4, transform_param={"transform_type": "woe"})
    model = read_model(run[GUEST].model())
    table = run[GUEST].output.data
    assert table is not None
    assert set(table.features()[:, 0]) == set(model.information["a"].woe)
    host = run[HOSTS[0]].output.data
    assert host is not None
    assert np.array_equal(host.features()[:, 0], world.columns[HOSTS[0]]["a"])


def test_no_transformation_leaves_the_data(world: World) -> None:
    run = world.run(transform_param={"transform_type": None})
    table = run[GUEST].output.data
    assert table is not None
    assert np.array_equal(table.features()[:, 1], world.columns[GUEST]["b"])


def test_chosen_and_categorical_columns(world: World) -> None:
    run = world.run(bin_indexes=[1], bin_names=["a", "unknown"], category_names=["c"], bin_num=3)
    model = read_model(run[GUEST].model())
    assert list(model.splits) == ["a", "b", "c"]
    assert model.splits["c"].tolist() == [0.0, 1.0, 2.0]
    assert [len(model.splits[name]) for name in "ab"] == [3, 3]
    run = world.run(bin_indexes=[1])
    assert list(read_model(run[GUEST].model()).hosts[0][1]) == ["host.1"]


def test_buckets(world: World) -> None:
    model = read_model(world.run(method="Bucket", bin_num=5)[HOSTS[0]].model())
    widths = np.diff(model.splits["b"])
    assert np.allclose(widths, widths[0])
    assert model.splits["b"][-1] == world.columns[HOSTS[0]]["b"].max()


@pytest.mark.parametrize("metric", ["iv", "gini", "chi-square", "ks"])
def test_optimal_bins_of_all_parties(tmp_path: Path, metric: str) -> None:
    world = World(tmp_path, hosts=2)
    optimal = {"metric_method": metric, "init_bin_nums": 30}
    run = world.run(
        method="optimal", bin_num=4, optimal_binning_param=optimal, category_indexes=[2]
    )
    model = read_model(run[GUEST].model())
    for party, columns in [(GUEST, model.information), *model.hosts]:
        splits = read_model(run[party].model()).splits
        assert splits["c"].tolist() == [0.0, 1.0, 2.0]
        for name, information in zip(["a", "b"], columns.values(), strict=False):
            assert 1 <= len(splits[name]) == len(information.woe) <= 4
            counts = information.events + information.non_events
            assert counts.sum() == ROWS
            assert (counts >= 0.05 * ROWS).all()
        codes = run[party].output.data.features()[:, 0]  # type: ignore[union-attr]
        assert int(codes.max()) == len(splits["a"]) - 1


def test_a_host_alone_may_be_optimal(world: World) -> None:
    run = world.run({HOSTS[0]: {"method": "optimal", "bin_num": 3}})
    assert len(read_model(run[HOSTS[0]].model()).splits["a"]) <= 3
    assert len(read_model(run[GUEST].model()).splits["a"]) == 10


@pytest.mark.parametrize("local", [[GUEST], HOSTS[:1], [GUEST, HOSTS[0]]])
def test_local_only_exchanges_no_label(world: World, local: list[Party]) -> None:
    run = world.run({party: {"local_only": True} for party in local})
    model = read_model(run[GUEST].model())
    assert all(not columns for _, columns in model.hosts)
    assert model.information["a"].total > 0
    assert len(read_model(run[HOSTS[0]].model()).splits["a"]) == 10
    if GUEST in local:
        assert all(record.variable != "encrypted_label" for record in run.mailbox.records)


def test_local_only_with_an_optimal_host_is_refused(world: World) -> None:
    with pytest.raises(UnsupportedError, match="local_only"):
        world.run({HOSTS[0]: {"method": "optimal"}}, local_only=True)


def test_neither_labels_nor_values_nor_limits_cross(world: World) -> None:
    run = world.run(bin_num=5)
    for record in run.mailbox.records:
        value = decode(record.data)
        for party in world.parties:
            for column in world.columns[party].values():
                for number in column[:20]:
                    assert np.float64(number).tobytes() not in record.data or number in (0, 1, 2)
        assert world.labels.astype(np.int64).tobytes() not in record.data
        assert world.labels.astype(np.uint8).tobytes() not in record.data
        assert world.ids[0].encode() not in record.data
        if record.variable == "encrypted_label":
            ciphertexts = value.column(0).to_pylist()
            assert len(set(ciphertexts)) == ROWS
        if record.variable == "encrypted_bin_sum" and isinstance(value, dict):
            assert set(value) == {
                "local_only",
                "columns",
                "bins",
                "counts",
                "categories",
                "optimal",
            }


def test_sums_are_randomised_before_they_leave(world: World) -> None:
    """The only bin of the only row would otherwise be the label's ciphertext as it came."""
    for party in world.parties:
        world.columns[party] = {"a": world.columns[party]["a"][:1]}
    world.ids, world.labels = world.ids[:1], np.array([1])
    run = world.run()
    sent: dict[str, set[bytes]] = {"encrypted_label": set(), "encrypted_bin_sum": set()}
    for record in run.mailbox.records:
        value = decode(record.data)
        if record.variable in sent and not isinstance(value, dict):
            sent[record.variable] |= set(value.column(0).to_pylist())
    assert len(sent["encrypted_label"]) == len(sent["encrypted_bin_sum"]) == 1
    assert not sent["encrypted_label"] & sent["encrypted_bin_sum"]
    assert read_model(run[GUEST].model()).hosts[0][1]["host.0"].events.tolist() == [1]


def test_sums_share_ciphertexts(world: World) -> None:
    run = world.run(bin_num=ROWS)
    sums = [
        decode(record.data)
        for record in run.mailbox.records
        if record.variable == "encrypted_bin_sum"
    ]
    bins = int(sums[0]["bins"].sum())
    assert bins > 2 * ROWS
    assert sum(len(batch) for batch in sums[1:]) <= bins // 100


def test_labels_in_chunks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from fate_flow.components.hetero_feature_binning import messages

    whole = read_model(world.run()[GUEST].model()).hosts
    monkeypatch.setattr(messages, "CHUNK", 7)
    parts = read_model(world.run()[GUEST].model()).hosts
    for name, information in whole[0][1].items():
        assert parts[0][1][name].events.tolist() == information.events.tolist()


def test_a_loaded_model_transforms_other_rows(world: World) -> None:
    trained = world.run(bin_num=4)
    table = put_instances(
        world.stores[GUEST],
        ["n1", "n2"],
        {"c": [1.0, 9.0], "b": [-100.0, 100.0], "a": [0.0, 99.0]},
        name="new",
    )
    inputs = {
        GUEST: TaskInputs(
            data={"source": {"data": table}}, model={"binning_0": trained[GUEST].model()}
        )
    }
    run = run_component("HeteroFeatureBinning", world.stores, {GUEST: {}}, inputs)
    output = run[GUEST].output.data
    assert output is not None
    assert output.schema.header == ("c", "b", "a")
    assert output.features()[1].tolist() == [2.0, 3.0, 3.0]
    assert output.features()[0, 1] == 0.0
    assert not run.mailbox.records
    assert run[GUEST].model() == trained[GUEST].model()


def test_a_loaded_model_misses_a_column(world: World) -> None:
    model = {"binning_0": world.run()[GUEST].model()}
    table = put_instances(world.stores[GUEST], ["n1"], {"a": [1.0]}, name="new")
    inputs = {GUEST: TaskInputs(data={"source": {"data": table}}, model=model)}
    with pytest.raises(DataError, match="no column 'b'"):
        run_component("HeteroFeatureBinning", world.stores, {GUEST: {}}, inputs)
    inputs = {GUEST: TaskInputs(data={"source": {"data": table}}, model={"x": {"DataIOMeta": b""}})}
    with pytest.raises(DataError, match="not a feature binning"):
        run_component("HeteroFeatureBinning", world.stores, {GUEST: {}}, inputs)


def test_need_run_false_passes_the_data_on(world: World) -> None:
    run = world.run(need_run=False)
    table = run[GUEST].output.data
    assert table is not None
    assert table.name == "data"
    assert not run.mailbox.records
    assert set(run[GUEST].model()) == {"FeatureBinningMeta", "FeatureBinningParam"}


def test_three_labels_are_refused(world: World) -> None:
    world.labels = np.arange(ROWS) % 3
    with pytest.raises(DataError, match="binary-data only"):
        world.run()


def test_labels_other_than_one_are_no_events(world: World) -> None:
    world.labels = np.where(world.labels == 1, 1, -1)
    model = read_model(world.run()[GUEST].model())
    assert model.information["a"].events.sum() == (world.labels == 1).sum()


def test_missing_values_are_named(world: World) -> None:
    world.columns[HOSTS[0]]["b"][3] = np.nan
    with pytest.raises(DataError, match=r"'b' .* 1 missing"):
        world.run()


def test_tables_that_are_not_aligned_are_refused(world: World) -> None:
    inputs = world.inputs()
    ids = [*world.ids[:-1], "another"]
    table = put_instances(world.stores[HOSTS[0]], ids, world.columns[HOSTS[0]])
    with pytest.raises(DataError, match="same ids"):
        run_component(
            "HeteroFeatureBinning",
            world.stores,
            {party: {} for party in world.parties},
            {**inputs, HOSTS[0]: as_data(table)},
        )


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({"bin_indexes": [7]}, "bin_indexes"),
        ({"category_indexes": [3]}, "category_indexes"),
        ({"transform_param": {"transform_names": ["zz"]}}, "transform_param"),
        ({"adjustment_factor": 1.0}, "adjustment_factor"),
        ({"error": 1}, "error"),
        ({"bin_num": 0}, "bin_num"),
        ({"method": "tree"}, "method"),
        (
            {"method": "optimal", "bin_num": 2, "optimal_binning_param": {"max_bin_pct": 0.3}},
            "optimal_binning_param.max_bin_pct",
        ),
        (
            {"optimal_binning_param": {"max_bin_pct": 0.3, "min_bin_pct": 0.4}},
            "optimal_binning_param.min_bin_pct",
        ),
    ],
)
def test_bad_parameters(world: World, parameters: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        world.run(**parameters)
    assert caught.value.problems[0].path == path


def test_a_host_that_sends_impossible_counts_is_caught(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fate_flow.components.hetero_feature_binning.binner import ColumnBins

    honest = ColumnBins.counts

    def lie(self: ColumnBins) -> np.ndarray[Any, np.dtype[np.int64]]:
        counts = honest(self)
        return counts if self.splits[-1] == world.columns[GUEST][self.name].max() else counts + 1

    monkeypatch.setattr(ColumnBins, "counts", lie)
    with pytest.raises(ProtocolError, match="host 10000 sent counts"):
        world.run()


def test_defaults_have_every_key() -> None:
    defaults = FeatureBinningParam.defaults()
    assert len(defaults) == 14
    assert defaults["transform_param"]["transform_type"] == "bin_num"
    assert defaults["optimal_binning_param"]["init_bin_nums"] == 1000
