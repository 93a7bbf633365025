"""Which files of the server a request may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fate_flow.data.paths import readable_file, writable_file
from fate_flow.errors import DataError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "conf").mkdir(parents=True)
    (home / "conf" / "site_secret").write_text("00")
    (home / "data").mkdir()
    (home / "data" / "a.csv").write_text("id\n")
    (tmp_path / "outside.csv").write_text("id\n")
    (home / "link").symlink_to(home / "conf" / "site_secret")
    return home


def test_relative_is_below_home(home: Path) -> None:
    assert readable_file("data/a.csv", home) == home / "data" / "a.csv"


def test_absolute_is_taken_as_it_is(home: Path) -> None:
    path = home.parent / "outside.csv"
    assert readable_file(str(path), home) == path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "is empty"),
        ("../outside.csv", "leads out of the site's home"),
        ("data/../../outside.csv", "leads out"),
        ("missing.csv", "missing.csv is not exist, please check the configure"),
        ("data", "is not a file"),
        ("conf/site_secret", "belongs to the site's own state"),
        ("link", "belongs to the site's own state"),
        ("fate_flow.yaml", "belongs to the site's own state"),
        ("fate_flow_sqlite.db-wal", "belongs to the site's own state"),
    ],
)
def test_refused_for_reading(home: Path, path: str, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        readable_file(path, home)


def test_the_site_s_own_state_is_not_reached_by_an_absolute_path(home: Path) -> None:
    with pytest.raises(DataError, match="own state"):
        readable_file(str(home / "conf" / "site_secret"), home)


def test_writing_makes_the_folder(home: Path) -> None:
    assert writable_file("out/deep/x.csv", home) == home / "out" / "deep" / "x.csv"
    assert (home / "out" / "deep").is_dir()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data", "is a folder"),
        ("../x.csv", "leads out"),
        ("tables/n/t/table.json", "own state"),
        ("data/a.csv/x", "cannot be made"),
    ],
)
def test_refused_for_writing(home: Path, path: str, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        writable_file(path, home)


def test_storage_elsewhere_is_the_site_s_own_too(home: Path) -> None:
    storage = home.parent / "storage"
    (storage / "tables").mkdir(parents=True)
    (storage / "tables" / "x").write_text("x")
    (home / "fate_flow.yaml").write_text(f"STORAGE: {storage}\n")
    with pytest.raises(DataError, match="own state"):
        readable_file(str(storage / "tables" / "x"), home)
