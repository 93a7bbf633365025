"""ModelStore and ModelRestore: a model leaves the cache and comes back equal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fate_flow.components.model_archive.params import ModelStoreParam
from fate_flow.data.table import TableStore
from fate_flow.entities import Party, TaskIdentity
from fate_flow.errors import FateFlowError, UnsupportedError
from fate_flow.models.proto.feature_binning_param_pb2 import FeatureBinningParam
from fate_flow.models.stores import ArchiveStores
from fate_flow.runtime.context import ModelAccess, TaskContext, TaskInputs
from fate_flow.runtime.registry import find
from fate_flow.runtime.task_runner import NoFederation
from tests.support.parties import MemoryTracker
from tests.support.redis_server import redis_server
from tests.support.site import Site

ID = "guest#9999#guest-9999#host-10000#model"
MODEL: dict[str, Any] = {"model_id": ID, "model_version": "1"}


def _run(site: Site, module: str, folder: Path, *, models: bool = True, **conf: Any) -> None:
    spec = find(module)
    assert spec is not None
    folder.mkdir(parents=True, exist_ok=True)
    access = ModelAccess(site.models, ArchiveStores(site.settings)) if models else None
    context = TaskContext(
        identity=TaskIdentity("1", "c_0", module, Party("local", 0), {"local": [0]}),
        parameters={**spec.param_class.defaults(), **conf},
        inputs=TaskInputs(),
        federation=NoFederation(),
        tables=TableStore(folder / "tables"),
        output=("n", "t"),
        tracker=MemoryTracker(),
        work_dir=str(folder),
        models=access,
    )
    output = spec.program("local")(context).run()
    assert (output.data, output.model) == (None, None)


@pytest.fixture(params=["file", "redis"])
def address(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    if request.param == "file":
        yield {"storage": "file"}
        return
    pytest.importorskip("redis")
    with redis_server("word") as server:
        yield {
            "storage": "redis",
            "host": "127.0.0.1",
            "port": server.port,
            "password": "word",
            "db": 0,
        }


def test_there_and_back(site: Site, tmp_path: Path, address: dict[str, Any]) -> None:
    message = FeatureBinningParam(header=["x0"])
    site.models.save(ID, "1", "bin_0", "M", "model", {"FeatureBinningParam": message})
    before = site.models.load_all(ID, "1")
    _run(site, "ModelStore", tmp_path / "a", **MODEL, store_address=address)
    with pytest.raises(FateFlowError, match="local cache already existed"):
        _run(site, "ModelRestore", tmp_path / "b", **MODEL, store_address=address)
    site.models.remove(ID, "1")
    _run(site, "ModelRestore", tmp_path / "c", **MODEL, store_address=address)
    assert site.models.load_all(ID, "1") == before
    with pytest.raises(FateFlowError, match=f"Restore model {ID} 2 from"):
        _run(
            site, "ModelRestore", tmp_path / "d",
            model_id=ID, model_version="2", store_address=address,
        )  # fmt: skip


def test_a_model_that_is_not_there(site: Site, tmp_path: Path) -> None:
    with pytest.raises(FateFlowError, match=f"Can not found {ID} 1 model local cache"):
        _run(site, "ModelStore", tmp_path / "a", **MODEL, store_address={"storage": "file"})
    with pytest.raises(UnsupportedError, match="ModelStore was given no access to models"):
        _run(site, "ModelStore", tmp_path / "a", models=False, **MODEL)


def test_parameters() -> None:
    defaults = {"model_id": None, "model_version": None, "store_address": None}
    assert ModelStoreParam.defaults() == defaults
    _, problems = ModelStoreParam.parse({**defaults, "store_address": {"storage": "x"}}, "p")
    texts = [str(problem) for problem in problems]
    assert texts == [
        "p.model_id: missing; allowed: a text",
        "p.model_version: missing; allowed: a text",
        "p.store_address.storage: found 'x'; allowed: redis, file",
    ]
