from __future__ import annotations

import threading
from pathlib import Path

import pytest
import yaml

from fate_flow.errors import InvalidInputError, NotFoundError, UnsupportedError
from fate_flow.models import registry
from fate_flow.models.proto.feature_binning_meta_pb2 import FeatureBinningMeta
from fate_flow.models.proto.feature_binning_param_pb2 import FeatureBinningParam
from fate_flow.models.store import ModelExistsError, ModelStore

ID = "guest#9999#arbiter-10000#guest-9999#host-10000#model"
VERSION = "2026010112000012345612"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path)


def _param(*names: str) -> FeatureBinningParam:
    return FeatureBinningParam(header=names)


def _save(store: ModelStore, *names: str, component: str = "bin_0", alias: str = "model") -> None:
    buffers = {"FeatureBinningMeta": FeatureBinningMeta(), "FeatureBinningParam": _param(*names)}
    store.save(ID, VERSION, component, "HeteroFeatureBinning", alias, buffers)


def test_layout_is_fate_flows(store: ModelStore) -> None:
    folder = store.create(ID, VERSION)
    assert folder == store.root / ID / VERSION
    assert (folder / "variables" / "index").is_dir()
    assert (folder / "define" / "proto" / "pipeline.proto").is_file()
    _save(store, "x0")
    assert (folder / "variables/data/bin_0/model/FeatureBinningParam").read_bytes()
    define = yaml.safe_load((folder / "define" / "define_meta.yaml").read_text())
    assert define == {
        "describe": "This is the model definition meta",
        "component_define": {"bin_0": {"module_name": "HeteroFeatureBinning"}},
        "model_proto": {
            "bin_0": {
                "model": {
                    "FeatureBinningMeta": "FeatureBinningMeta",
                    "FeatureBinningParam": "FeatureBinningParam",
                }
            }
        },
    }


def test_empty_messages_are_stored_as_filler(store: ModelStore) -> None:
    _save(store, "x0")
    folder = store.folder(ID, VERSION)
    path = folder / "variables/data/bin_0/model/FeatureBinningMeta"
    assert path.read_bytes() == b"\x0a\x03set"
    assert store.load(ID, VERSION, "bin_0", "model")["FeatureBinningMeta"] == b""
    assert store.load_all(ID, VERSION)["bin_0.model:FeatureBinningMeta"] == b"\x0a\x03set"
    assert registry.parse("FeatureBinningMeta", b"\x0a\x03set") == FeatureBinningMeta()


def test_saving_again_replaces_all_buffers(store: ModelStore) -> None:
    _save(store, "x0")
    store.save(ID, VERSION, "bin_0", "M", "model", {"FeatureBinningParam": _param("x1")})
    loaded = store.load(ID, VERSION, "bin_0", "model")
    assert loaded == {"FeatureBinningParam": _param("x1").SerializeToString()}
    leftovers = list(store.folder(ID, VERSION).rglob(".*"))
    assert leftovers == []


def test_json_form(store: ModelStore) -> None:
    _save(store, "x0", "x1")
    model = store.read_json(ID, VERSION, "bin_0", "model")
    assert model.module == "HeteroFeatureBinning"
    assert model.param == {"header": ["x0", "x1"], "hostResults": []}
    assert model.meta is not None
    assert model.meta["binNum"] == "0"


def test_json_form_of_odd_numbers(store: ModelStore) -> None:
    param = _param("x0")
    param.binning_result.binning_result["x0"].iv = float("nan")
    param.binning_result.binning_result["x0"].split_points.append(float("inf"))
    shown = registry.to_json(param)["binningResult"]["binningResult"]["x0"]
    assert shown["iv"] == "NaN"
    assert shown["splitPoints"] == ["Infinity"]
    assert shown["binNums"] == "0"


def test_what_is_missing_is_named(store: ModelStore) -> None:
    with pytest.raises(NotFoundError, match=VERSION):
        store.load(ID, VERSION, "bin_0", "model")
    _save(store)
    with pytest.raises(NotFoundError, match=r"Its parts: bin_0\.model"):
        store.load(ID, VERSION, "lr_0", "model")
    with pytest.raises(ModelExistsError, match="already been created"):
        store.create(ID, VERSION)
    assert store.exists(ID, VERSION)
    assert store.remove(ID, VERSION)
    assert not store.remove(ID, VERSION)


@pytest.mark.parametrize(
    "bad", ["..", ".", "", "a/b", "a\\b", "/etc", ".x", "a\0b", "x" * 300, "ü"]
)
def test_names_cannot_leave_the_cache(store: ModelStore, bad: str) -> None:
    with pytest.raises(InvalidInputError, match="allowed"):
        store.create(bad, VERSION)
    with pytest.raises(InvalidInputError, match="allowed"):
        store.create(ID, bad)
    with pytest.raises(InvalidInputError, match="allowed"):
        _save(store, component=bad)
    with pytest.raises(InvalidInputError, match="allowed"):
        _save(store, alias=bad)
    with pytest.raises(InvalidInputError, match="allowed"):
        store.save(ID, VERSION, "c", "M", "a", {bad: _param()})
    assert not (store.root / ID / VERSION / "variables" / "data" / "c").exists()


def test_components_saved_at_the_same_time_are_all_defined(store: ModelStore) -> None:
    threads = [
        threading.Thread(target=_save, args=(store, "x0"), kwargs={"component": f"bin_{i}"})
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    define = store.definition(store.folder(ID, VERSION))
    assert sorted(define["component_define"]) == [f"bin_{i}" for i in range(8)]
    assert store.parts(ID, VERSION) == [f"bin_{i}.model" for i in range(8)]


def test_a_reader_sees_one_whole_model(store: ModelStore) -> None:
    _save(store, "0")
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            message = _param(str(number))
            store.save(ID, VERSION, "bin_0", "M", "model", {"AParam": message, "BParam": message})

    store.save(ID, VERSION, "bin_0", "M", "model", {"AParam": _param("0"), "BParam": _param("0")})
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            loaded = store.load(ID, VERSION, "bin_0", "model")
            assert loaded["AParam"] == loaded["BParam"]
    finally:
        stop.set()
        writer.join()


def test_pipeline(store: ModelStore) -> None:
    store.save_pipeline(
        ID, VERSION, inference_dsl={"components": {}}, train_dsl=b"{}", train_runtime_conf={},
        model_id="arbiter-10000#model",
    )  # fmt: skip
    pipeline = store.read_pipeline(ID, VERSION)
    assert pipeline.inference_dsl == b'{"components": {}}'
    assert (pipeline.fate_version, pipeline.model_version) == ("1.4.0", VERSION)
    folder = store.folder(ID, VERSION)
    stored = folder / "variables/data/pipeline/pipeline/Pipeline"
    assert (folder / "pipeline.pb").read_bytes() == stored.read_bytes()


def test_registry_knows_fates_buffer_names() -> None:
    assert registry.BUFFER_CLASSES["HeteroLogisticRegressionParam"] == "LRModelParam"
    assert registry.class_of("X", "FeatureBinningParam") is FeatureBinningParam
    assert registry.class_of("FeatureBinningMeta") is FeatureBinningMeta
    with pytest.raises(UnsupportedError, match="NoSuchParam"):
        registry.class_of("NoSuchParam")


def test_damaged_files_are_reported(store: ModelStore) -> None:
    _save(store, "x0")
    folder = store.folder(ID, VERSION)
    (folder / "variables/data/bin_0/model/FeatureBinningParam").write_bytes(b"\xff\xff\xff")
    with pytest.raises(registry.ModelFormatError, match="3 bytes"):
        store.read_json(ID, VERSION, "bin_0", "model")
    (folder / "define/define_meta.yaml").write_text("- [")
    with pytest.raises(registry.ModelFormatError, match="define_meta"):
        store.load(ID, VERSION, "bin_0", "model")
