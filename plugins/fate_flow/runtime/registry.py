"""The modules of FATE 1.4: who runs them, with which parameter class, from where.

Programs and parameter classes are named by text and imported on use, so that the
registry can be read (by the parser, by ``lint``) without loading numerical code.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fate_flow.errors import Problem
from fate_flow.runtime.params import Param


@dataclass(frozen=True)
class ModuleSpec:
    """One module.

    Attributes:
        name: module name in the DSL.
        programs: role -> ``package.module:Class``; empty when not available in this version.
        param: ``package.module:Class`` of the parameter class.
        code_path: role -> the reference's CodePath, kept because FATE-Serving reads it.
        need_deploy: default for the DSL's ``need_deploy``.
        trainable: takes train_data/eval_data rather than data.
        exchanges: its parties send each other values, so their tasks must meet.
    """

    name: str
    programs: Mapping[str, str] = field(default_factory=dict)
    param: str = ""
    code_path: Mapping[str, str] = field(default_factory=dict)
    need_deploy: bool = True
    trainable: bool = False
    exchanges: bool = True

    @property
    def is_available(self) -> bool:
        return bool(self.programs)

    @property
    def param_class(self) -> type[Param]:
        loaded: type[Param] = _load(self.param)
        return loaded

    def program(self, role: str) -> Any:
        """The component class of a role; KeyError when the role does not take part."""
        return _load(self.programs[role])


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


_MODULES: dict[str, ModuleSpec] = {}


def register(spec: ModuleSpec) -> None:
    """Add a module, or replace one; site plugins may add their own."""
    _MODULES[spec.name] = spec


def modules() -> Mapping[str, ModuleSpec]:
    _ensure_loaded()
    return _MODULES


def find(name: str) -> ModuleSpec | None:
    _ensure_loaded()
    return _MODULES.get(name)


def problem_for_unknown(name: object, path: str) -> Problem:
    """Why ``name`` cannot be used as a module, with the nearest known name."""
    _ensure_loaded()
    available = sorted(m.name for m in _MODULES.values() if m.is_available)
    allowed = ", ".join(available)
    if isinstance(name, str) and name in _MODULES:
        return Problem(
            path, f"module {name!r} of FATE 1.4 is not available in this version", allowed
        )
    near = difflib.get_close_matches(str(name), list(_MODULES), n=1)
    hint = f"did you mean {near[0]!r}?" if near else ""
    return Problem(path, f"unknown module {name!r}", allowed, hint)


def _ensure_loaded() -> None:
    if not _MODULES:
        from fate_flow.runtime import catalogue

        for spec in catalogue.SPECS:
            _MODULES.setdefault(spec.name, spec)
