"""Commands in the pages for readers are commands of this version."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from fate_flow.cli.main import build_parser

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/two-organisations.md")


def _commands(page: str) -> Iterator[str]:
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.S):
        lines = block.replace("\\\n", " ").splitlines()
        for line in lines:
            # Side by side: what one site does, blanks, what the other does.
            for part in re.split(r" {4,}(?=fate_flow )", line):
                text = part.split("#")[0].split(" > ")[0].strip()
                if text.startswith("fate_flow "):
                    yield text


@pytest.mark.parametrize("page", PAGES)
def test_every_command_can_be_read(page: str) -> None:
    commands = list(_commands(page))
    assert len(commands) >= 5
    for command in commands:
        arguments = shlex.split(command.replace("…", "x"))[1:]
        assert callable(build_parser().parse_args(arguments).run), command


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target
