from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fate_flow.errors import InvalidInputError, NotFoundError
from fate_flow.models import archive
from fate_flow.models.archive import export_model, import_model
from fate_flow.models.proto.feature_binning_param_pb2 import FeatureBinningParam
from fate_flow.models.store import ModelExistsError, ModelStore

ID = "guest#9999#guest-9999#host-10000#model"
DEFINE = "define/define_meta.yaml"
GOOD = "describe: d\ncomponent_define: {}\nmodel_proto: {}\n"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    made = ModelStore(tmp_path / "cache")
    message = FeatureBinningParam(header=["x0"])
    made.save(ID, "1", "bin_0", "M", "model", {"FeatureBinningParam": message})
    return made


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_goes_out_comes_in(store: ModelStore, tmp_path: Path) -> None:
    path = export_model(store, ID, "1", tmp_path / "m.zip")
    folder = import_model(store, ID, "2", path)
    assert _files(folder) == _files(store.folder(ID, "1"))
    assert store.load(ID, "2", "bin_0", "model") == store.load(ID, "1", "bin_0", "model")


def test_export_of_nothing(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"Can not found .* 9 model local cache") as caught:
        export_model(store, ID, "9", tmp_path / "m.zip")
    assert caught.value.retcode == 100


def test_import_does_not_overwrite(store: ModelStore, tmp_path: Path) -> None:
    path = export_model(store, ID, "1", tmp_path / "m.zip")
    with pytest.raises(ModelExistsError, match="already existed"):
        import_model(store, ID, "1", path)


Build = Callable[[zipfile.ZipFile], None]


def _member(name: str, content: bytes = b"x", mode: int = 0) -> Build:
    def build(made: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        made.writestr(info, content, zipfile.ZIP_DEFLATED)

    return build


def _zip(*builds: Build, define: str | None = GOOD) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        if define is not None:
            made.writestr(DEFINE, define)
        for build in builds:
            build(made)
    buffer.seek(0)
    return buffer


BAD = {
    "parent": _member("../../evil"),
    "inner parent": _member("variables/../../evil"),
    "absolute": _member("/etc/passwd"),
    "backslash": _member("variables\\..\\evil"),
    "hidden": _member("variables/.x"),
    "foreign": _member("other/file"),
    "odd characters": _member("variables/data/a b/c"),
    "link": _member("variables/data/l", b"/etc/passwd", stat.S_IFLNK | 0o777),
    "bomb": _member("variables/data/c/a/P", b"\0" * (8 * 1024 * 1024)),
    "file and folder": lambda z: (_member("variables/data")(z), _member("variables/data/x")(z))[0],
}


@pytest.mark.parametrize("build", BAD.values(), ids=BAD.keys())
def test_archives_that_must_not_be_unpacked(
    store: ModelStore, tmp_path: Path, build: Build
) -> None:
    before = _files(tmp_path)
    with pytest.raises(InvalidInputError, match="file:"):
        import_model(store, ID, "2", _zip(build))
    assert _files(tmp_path) == before
    assert [p.name for p in (store.root / ID).iterdir() if not p.name.startswith(".")] == ["1"]


def test_limits(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="bytes unpacked"):
        import_model(store, ID, "2", _zip(), max_bytes=10)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 0)
    with pytest.raises(InvalidInputError, match="members"):
        import_model(store, ID, "2", _zip())


@pytest.mark.parametrize("define", [None, "- a list", "a: [", "!!python/object/apply:os.getcwd []"])
def test_archives_without_a_definition(store: ModelStore, define: str | None) -> None:
    with pytest.raises(Exception, match="define_meta") as caught:
        import_model(store, ID, "2", _zip(define=define))
    assert type(caught.value).__module__.startswith("fate_flow")
    assert not store.exists(ID, "2")


def test_not_a_zip(store: ModelStore) -> None:
    with pytest.raises(InvalidInputError, match="zip"):
        import_model(store, ID, "2", io.BytesIO(b"PK\x03\x04 broken"))


def test_a_member_that_lies_about_its_size(store: ModelStore) -> None:
    buffer = _zip(_member("variables/data/c/a/P", b"y" * 5000))
    raw = buffer.getvalue()
    size = (5000).to_bytes(4, "little")
    assert raw.count(size) == 2
    with pytest.raises(InvalidInputError):
        import_model(store, ID, "2", io.BytesIO(raw.replace(size, (7).to_bytes(4, "little"))))
    assert not store.exists(ID, "2")
