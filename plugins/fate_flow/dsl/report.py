"""Collects what is wrong with a job and what merely looks wrong, until all is read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from fate_flow.errors import InvalidInputError, Problem

_LONGEST_TYPO = 100  # comparing is quadratic, and nobody mistypes longer names
_MOST_CANDIDATES = 300


@dataclass
class Report:
    """Problems refuse the job, warnings are kept in its plan; each is kept once, in order."""

    problems: dict[Problem, None] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)

    def problem(self, path: str, message: str, allowed: str = "", hint: str = "") -> None:
        self.add(Problem(path, message, allowed, hint))

    def add(self, *problems: Problem) -> None:
        self.problems.update(dict.fromkeys(problems))

    def warn(self, path: str, message: str, hint: str = "") -> None:
        self.warnings[str(Problem(path, message, hint=hint))] = None

    def raise_if_any(self) -> None:
        """
        Raises:
            InvalidInputError: carries all problems found so far.
        """
        if self.problems:
            raise InvalidInputError(self.problems)


def shown(value: Any) -> str:
    """A value as a user wrote it, shortened."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (int, float)):
        text = repr(value) if not isinstance(value, int) or value.bit_length() < 200 else "a number"
    elif isinstance(value, str):
        text = repr(value) if value else "an empty text"
    elif isinstance(value, Mapping):
        return "an object" if value else "an empty object"
    elif isinstance(value, (list, tuple)):
        return f"a list of {len(value)}" if value else "an empty list"
    else:
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "…"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    candidates = tuple(known)
    if len(name) > _LONGEST_TYPO or len(candidates) > _MOST_CANDIDATES:
        return ""
    near = _nearest(name, candidates)
    return f"did you mean {near!r}?" if near else ""


@lru_cache(maxsize=512)
def _nearest(name: str, candidates: tuple[str, ...]) -> str:
    return next(iter(difflib.get_close_matches(name, candidates, n=1, cutoff=0.65)), "")
