"""Parameter classes: a dataclass per module whose fields know what they accept.

``Sub.from_conf(conf)`` reads a merged configuration object, collects *all*
problems with their JSON paths, and never raises for a bad value; ``to_conf``
gives the object back with every key, as ``component_parameters`` shows it.
The same classes are used at submission (check) and in the task (use).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, TypeVar

from fate_flow.errors import InvalidInputError, Problem

P = TypeVar("P", bound="Param")


@dataclass(frozen=True)
class Check:
    """A rule for one value.

    Attributes:
        allowed: what is accepted, as shown to the user.
        convert: returns the value to use, raises ValueError or TypeError to refuse.
    """

    allowed: str
    convert: Callable[[Any], Any]

    def __or__(self, other: Check) -> Check:
        def either(value: Any) -> Any:
            try:
                return self.convert(value)
            except (ValueError, TypeError, OverflowError):
                return other.convert(value)

        return Check(f"{self.allowed} or {other.allowed}", either)


def _refuse_unless(condition: bool) -> None:
    if not condition:
        raise ValueError


def integer(minimum: int | None = None, maximum: int | None = None) -> Check:
    def convert(value: Any) -> int:
        _refuse_unless(isinstance(value, int) and not isinstance(value, bool))
        _refuse_unless(minimum is None or value >= minimum)
        _refuse_unless(maximum is None or value <= maximum)
        return int(value)

    return Check("an integer" + _range(minimum, maximum, "<=", "<="), convert)


def number(
    minimum: float | None = None, maximum: float | None = None, *, open_interval: bool = False
) -> Check:
    """A finite int or float; ``open_interval`` excludes both limits."""

    def convert(value: Any) -> Any:
        _refuse_unless(isinstance(value, (int, float)) and not isinstance(value, bool))
        _refuse_unless(math.isfinite(value))
        if minimum is not None:
            _refuse_unless(value > minimum if open_interval else value >= minimum)
        if maximum is not None:
            _refuse_unless(value < maximum if open_interval else value <= maximum)
        return value

    sign = "<" if open_interval else "<="
    return Check("a number" + _range(minimum, maximum, sign, sign), convert)


def _range(low: float | None, high: float | None, below: str, above: str) -> str:
    if low is None and high is None:
        return ""
    left = f"{low} {below} " if low is not None else ""
    right = f" {above} {high}" if high is not None else ""
    return f" with {left}value{right}"


def boolean() -> Check:
    def convert(value: Any) -> bool:
        _refuse_unless(isinstance(value, bool))
        return bool(value)

    return Check("true or false", convert)


def text() -> Check:
    def convert(value: Any) -> str:
        _refuse_unless(isinstance(value, str))
        return str(value)

    return Check("a text", convert)


def null() -> Check:
    def convert(value: Any) -> None:
        _refuse_unless(value is None)

    return Check("null", convert)


def one_of(*choices: str, aliases: Mapping[str, str] | None = None) -> Check:
    """One of some words in any case; the typed object gets the spelling listed here."""
    known = {choice.lower(): choice for choice in choices}
    for alias, choice in (aliases or {}).items():
        known[alias.lower()] = choice

    def convert(value: Any) -> str:
        _refuse_unless(isinstance(value, str))
        return known[value.lower()] if value.lower() in known else _raise_value_error()

    return Check("one of " + ", ".join(choices), convert)


def _raise_value_error() -> str:
    raise ValueError


def list_of(item: Check) -> Check:
    def convert(value: Any) -> list[Any]:
        _refuse_unless(isinstance(value, (list, tuple)))
        return [item.convert(element) for element in value]

    return Check(f"a list of {item.allowed}", convert)


def mapping() -> Check:
    def convert(value: Any) -> dict[str, Any]:
        _refuse_unless(isinstance(value, Mapping))
        return dict(value)

    return Check("an object", convert)


def anything() -> Check:
    return Check("any value", lambda value: value)


def param(default: Any, check: Check, *, internal: bool = False) -> Any:
    """A field with an effective default and a rule.

    ``internal`` keys are shown and accepted but what a user sets there has no effect.
    """
    metadata = {"check": check, "internal": internal}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def nested(cls: type[Param], **overrides: Any) -> Any:
    """A field that is itself a parameter object; ``overrides`` change its defaults."""
    return field(
        default_factory=lambda: cls(**overrides), metadata={"nested": cls, "overrides": overrides}
    )


@dataclass
class Param:
    """Base of all parameter classes.

    Class attributes:
        conf_name: name of the class in FATE-Flow's configuration (``DataIOParam``).
    """

    conf_name: ClassVar[str] = ""

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The effective default configuration, every key present."""
        return cls().to_conf()

    @classmethod
    def parse(cls: type[P], conf: Mapping[str, Any], path: str = "") -> tuple[P, list[Problem]]:
        """Read a configuration; bad values keep their default and give a problem.

        Unknown keys are not problems (FATE-Flow ignores them); see :meth:`unknown_keys`.
        """
        problems: list[Problem] = []
        values: dict[str, Any] = {}
        for spec in fields(cls):
            if spec.name not in conf:
                continue
            where = f"{path}.{spec.name}" if path else spec.name
            given = conf[spec.name]
            inner: type[Param] | None = spec.metadata.get("nested")
            if inner is not None:
                if not isinstance(given, Mapping):
                    problems.append(Problem(where, f"found {_shown(given)}", "an object"))
                    continue
                base = inner(**spec.metadata["overrides"]).to_conf()
                values[spec.name], found = inner.parse({**base, **given}, where)
                problems += found
                continue
            check: Check = spec.metadata["check"]
            try:
                values[spec.name] = check.convert(given)
            except (ValueError, TypeError, OverflowError):
                problems.append(Problem(where, f"found {_shown(given)}", check.allowed))
        result = cls(**values)
        reported = {problem.path for problem in problems}
        for found_together in result.check():
            where = f"{path}.{found_together.path}" if path else found_together.path
            if where not in reported:
                problems.append(replace(found_together, path=where))
        return result, problems

    @classmethod
    def from_conf(cls: type[P], conf: Mapping[str, Any], path: str = "") -> P:
        """Like :meth:`parse` but raises :class:`InvalidInputError` with all problems."""
        result, problems = cls.parse(conf, path)
        if problems:
            raise InvalidInputError(problems)
        return result

    def check(self) -> Iterator[Problem]:
        """Rules over several fields; paths are relative to this object."""
        return iter(())

    def check_roles(self, roles: Mapping[str, Sequence[int]]) -> Iterator[Problem]:
        """Rules over the parties of the job (role -> party ids); paths as in :meth:`check`."""
        return iter(())

    @classmethod
    def must_agree(cls, params: Sequence[Any]) -> Sequence[str]:
        """Keys that must have one value at all parties, given the parties' objects.

        For what would make the parties wait for each other or compute nonsense.
        """
        return ()

    def doubts(self) -> Iterator[Problem]:
        """What is accepted but looks wrong, nested objects included; paths as in :meth:`check`."""
        for spec in fields(self):
            value = getattr(self, spec.name)
            if isinstance(value, Param):
                for doubt in value.doubts():
                    yield replace(doubt, path=f"{spec.name}.{doubt.path}")

    @classmethod
    def unknown_keys(cls, conf: Mapping[str, Any], path: str = "") -> list[Problem]:
        """Keys of ``conf`` that no field has, each with the nearest known key."""
        known = {spec.name: spec for spec in fields(cls)}
        found: list[Problem] = []
        for key, value in conf.items():
            where = f"{path}.{key}" if path else key
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else ""
                found.append(Problem(where, "unknown parameter, it has no effect", hint=hint))
            elif "nested" in known[key].metadata and isinstance(value, Mapping):
                found += known[key].metadata["nested"].unknown_keys(value, where)
        return found

    def to_conf(self) -> dict[str, Any]:
        """Every key with its value, nested objects as objects."""
        conf: dict[str, Any] = {}
        for spec in fields(self):
            value = getattr(self, spec.name)
            conf[spec.name] = value.to_conf() if isinstance(value, Param) else value
        return conf


def _shown(value: Any) -> str:
    """A value as an error shows it, cut when it is long."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"
