"""Pages and static files: escaped, without inline code, complete."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fate_flow.ui import pages
from fate_flow.ui.assets import assets, digest

PAGES = {
    "job": pages.job_page("2026010112000012345612", "../../"),
    "jobs": pages.jobs_page("./"),
    "approvals": pages.approvals_page("./"),
    "other": pages.other_run_page("my_dag", "manual__2026", "../../"),
}
STATIC = Path(pages.__file__).parent / "static"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.inline += [name for name in values if name.startswith("on") or name == "style"]
        self._script = tag in ("script", "style")
        if tag in ("script", "link") and (target := values.get("src") or values.get("href")):
            self.links.append(target)

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._script = False


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_pages_have_no_inline_code_and_all_their_files(page: str) -> None:
    reader = _Reader()
    reader.feed(page)
    assert reader.inline == []
    files = [link for link in reader.links if link != "data:,"]
    assert files
    for link in files:
        root, _, name = link.partition(f"static/{digest()}/")
        assert name in assets()
        assert root in ("./", "../../")


def test_values_are_escaped() -> None:
    page = pages.other_run_page("<script>alert(1)</script>", "\"><img src=x onerror='a'>", "../")
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_policy_allows_own_files_only() -> None:
    policy = pages.HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    assert not re.search(r"https?:|\*", policy)


def _own_scripts() -> dict[str, str]:
    return {
        name: asset.content.decode()
        for name, asset in assets().items()
        if name.endswith(".js") and not name.startswith("vendor/")
    }


def test_scripts_never_make_markup_of_data() -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function"
    for name, text in _own_scripts().items():
        assert not re.search(forbidden, text), name


def test_scripts_import_what_exists_and_call_nobody_else() -> None:
    scripts = _own_scripts()
    assert {"job.js", "jobs.js", "theme.js"} <= set(scripts)
    for name, text in scripts.items():
        for target in re.findall(r'(?:from|import) "([^"]+)"', text):
            found = (STATIC / name).parent.joinpath(target).resolve()
            assert found.relative_to(STATIC.resolve()).as_posix() in scripts, (name, target)
        without_svg = text.replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://", without_svg), name


def test_colours_are_defined_for_both_modes() -> None:
    style = assets()["page.css"].content.decode()
    light, dark = re.findall(r":root[^{]*\{([^}]*)\}", style)
    names = set(re.findall(r"--([\w-]+):", light))
    assert names == set(re.findall(r"--([\w-]+):", dark))
    used = set(re.findall(r"var\(--([\w-]+)", style)) - {"state"}
    for text in _own_scripts().values():
        used |= set(re.findall(r'color\("([\w-]+)"\)', text))
    assert used <= names


def test_the_chart_library_comes_with_its_licence() -> None:
    folder = "vendor/echarts/"
    assert b"Apache License" in assets()[f"{folder}LICENSE.txt"].content
    assert b"Apache ECharts" in assets()[f"{folder}NOTICE.txt"].content
    assert b"Mike Bostock" in assets()[f"{folder}LICENSE-d3.txt"].content
    assert b'version="6.' in assets()[f"{folder}echarts.min.js"].content
