"""A running job in the terminal: one row per component, one column per party.

On a terminal a table that is redrawn; elsewhere one line per change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

_STYLES = {
    "waiting": "dim",
    "running": "bold yellow",
    "success": "green",
    "failed": "bold red",
    "timeout": "bold red",
    "canceled": "magenta",
    "pass": "cyan",
}
TERMINAL = ("success", "failed", "timeout", "canceled", "pass")


@dataclass(frozen=True)
class TaskRow:
    """One task as the server reports it.

    Attributes:
        component, party: where it belongs; party as ``guest 9999``.
        status: FATE's task status.
        message: what it does or waits for; may be empty.
        seconds: running time so far.
    """

    component: str
    party: str
    status: str
    message: str = ""
    seconds: float = 0.0

    @classmethod
    def of(cls, row: Mapping[str, Any], now: float) -> TaskRow:
        """From a row of ``job/task/query`` (times in ms)."""
        start = row.get("f_start_time")
        end = row.get("f_end_time") or now * 1000
        return cls(
            component=str(row["f_component_name"]),
            party=f"{row['f_role']} {row['f_party_id']}",
            status=str(row["f_status"]),
            message=str(row.get("f_message") or ""),
            seconds=max(0.0, (float(end) - float(start)) / 1000) if start else 0.0,
        )


class View(Protocol):
    """Shows the state of a job; a context manager around the time it is watched."""

    def __enter__(self) -> View: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, tasks: Sequence[TaskRow]) -> None: ...


class PlainView:
    """One line per change of a task's status or message.

    Args:
        say: prints a line.
        every: seconds between lines about messages of the same task.
    """

    def __init__(self, say: Callable[[str], None], every: float = 10.0) -> None:
        self._say = say
        self._every = every
        self._seen: dict[tuple[str, str], tuple[str, str]] = {}
        self._said: dict[tuple[str, str], float] = {}
        self._began = time.monotonic()

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, tasks: Sequence[TaskRow]) -> None:
        now = time.monotonic()
        for task in tasks:
            key = (task.component, task.party)
            old_status, old_message = self._seen.get(key, ("waiting", ""))
            is_due = now - self._said.get(key, 0.0) >= self._every
            has_news = task.status != old_status or (task.message != old_message and is_due)
            if not has_news:
                continue
            self._seen[key] = (task.status, task.message)
            self._said[key] = now
            message = f"  {task.message}" if task.message and task.status != "success" else ""
            self._say(
                f"{now - self._began:6.1f} s  {task.component:<28} {task.party:<14}"
                f" {task.status}{message}"
            )


class LiveView:
    """A table that is redrawn in place."""

    def __init__(self, console: Console, components: Sequence[str], parties: Sequence[str]) -> None:
        self._components = list(components)
        self._parties = list(parties)
        self._live = Live(console=console, refresh_per_second=8)
        self._began = time.monotonic()

    def __enter__(self) -> LiveView:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, tasks: Sequence[TaskRow]) -> None:
        self._live.update(self.table(tasks))

    def table(self, tasks: Iterable[TaskRow]) -> Table:
        """The table for these tasks; a cell is empty where a party takes no part."""
        found = {(task.component, task.party): task for task in tasks}
        table = Table(
            expand=True, caption=f"{time.monotonic() - self._began:.0f} s", caption_justify="left"
        )
        table.add_column("component")
        for party in self._parties:
            table.add_column(party)
        table.add_column("now", overflow="ellipsis", no_wrap=True, ratio=1)
        for component in self._components:
            cells = [found.get((component, party)) for party in self._parties]
            messages = [task.message for task in cells if task and task.status == "running"]
            message = next((text for text in messages if text), "")
            table.add_row(component, *map(_cell, cells), Text(message, style="dim"))
        return table


def _cell(task: TaskRow | None) -> Text:
    if task is None:
        return Text("")
    seconds = f" {task.seconds:.1f} s" if task.seconds else ""
    return Text(task.status + seconds, style=_STYLES.get(task.status, ""))
