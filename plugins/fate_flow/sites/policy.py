"""What jobs of another site may do here, as the administrator of this site wants it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from fate_flow.errors import InvalidInputError, Problem

ROLES = ("guest", "host", "arbiter")
AUTO, ASK = APPROVALS = ("auto", "ask")
EVERYTHING = ("*",)

_MAX_PATTERNS = 500
_MAX_LENGTH = 500


@dataclass(frozen=True)
class Policy:
    """Rules for the jobs that one peer submits.

    Attributes:
        roles: roles that parties of this site may play in them.
        components: patterns (``*``, ``?``) of module names, compared without case.
        tables: patterns of ``namespace/name`` of this site's tables that they may read.
        approval: ``ask``: each job waits until a person here approves it; ``auto``: none does.
    """

    roles: tuple[str, ...] = ROLES
    components: tuple[str, ...] = EVERYTHING
    tables: tuple[str, ...] = EVERYTHING
    approval: str = AUTO

    def __post_init__(self) -> None:
        problems = [
            Problem("roles", f"found {role!r:.60}", ", ".join(ROLES))
            for role in self.roles
            if role not in ROLES
        ]
        for name in ("components", "tables"):
            patterns = getattr(self, name)
            if len(patterns) > _MAX_PATTERNS or any(
                not isinstance(p, str) or not p or len(p) > _MAX_LENGTH for p in patterns
            ):
                allowed = f"at most {_MAX_PATTERNS} patterns of 1 to {_MAX_LENGTH} characters"
                problems.append(Problem(name, "found too many, too long or empty ones", allowed))
        if self.approval not in APPROVALS:
            found = f"found {self.approval!r:.60}"
            problems.append(Problem("approval", found, ", ".join(APPROVALS)))
        if problems:
            raise InvalidInputError(problems)

    @property
    def asks(self) -> bool:
        return self.approval == ASK

    def refusals(
        self,
        *,
        roles: Iterable[str] = (),
        modules: Iterable[str] = (),
        tables: Iterable[tuple[str, str]] = (),
    ) -> list[str]:
        """Why a job is not allowed; empty: it is.

        Args:
            roles: of this site's parties in the job.
            modules: that they would run.
            tables: (namespace, name) that they would read here.
        """
        found = [
            f"role {role}: jobs of this site may use {_listed(self.roles)}"
            for role in sorted(set(roles) - set(self.roles))
        ]
        found += [
            f"component {module}: jobs of this site may use {_listed(self.components)}"
            for module in sorted(set(modules))
            if not _matches(module.lower(), [p.lower() for p in self.components])
        ]
        # The patterns are not named: they would tell another site what lies here.
        found += [
            f"table {namespace}/{name}: jobs of this site may not read it"
            for namespace, name in sorted(set(tables))
            if not _matches(f"{namespace}/{name}", self.tables)
        ]
        return found

    def changed(self, wanted: Mapping[str, Any]) -> Policy:
        """This policy with other values; None leaves one as it is.

        Raises:
            InvalidInputError: a value that is not allowed, or an unknown rule.
        """
        return replace(self, **_values({k: v for k, v in wanted.items() if v is not None}))

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    def to_dict(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """
        Raises:
            InvalidInputError: the text is not that of a policy.
        """
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise InvalidInputError("a policy must be a JSON object")
        return cls(**_values(values))


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    names = [field.name for field in fields(Policy)]
    problems = [Problem(k, "unknown rule", ", ".join(names)) for k in given if k not in names]
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key == "approval":
            values[key] = value
        elif isinstance(value, str) or not isinstance(value, Sequence):
            problems.append(Problem(key, f"found {type(value).__name__}", "a list of texts"))
        else:
            values[key] = tuple(value)
    if problems:
        raise InvalidInputError(problems)
    return values


def _matches(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _listed(values: Sequence[str]) -> str:
    return ", ".join(values) or "none"
