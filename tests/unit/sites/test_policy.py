from __future__ import annotations

import pytest

from fate_flow.errors import InvalidInputError
from fate_flow.sites.policy import Policy

STRICT = Policy(
    roles=("host",),
    components=("dataio", "Hetero*"),
    tables=("shared/*", "demo/breast_?ost"),
    approval="ask",
)


def test_everything_is_allowed_at_first() -> None:
    policy = Policy()
    wanted = {"roles": ["guest", "arbiter"], "modules": ["HeteroLR"], "tables": [("n", "t")]}
    assert policy.refusals(**wanted) == []
    assert not policy.asks


def test_what_fits_is_allowed() -> None:
    tables = [("shared", "a/b"), ("demo", "breast_host")]
    assert STRICT.refusals(roles=["host"], modules=["DataIO", "HeteroLR"], tables=tables) == []
    assert STRICT.asks


def test_every_refusal_is_named() -> None:
    found = STRICT.refusals(
        roles=["host", "arbiter"],
        modules=["DataIO", "Intersection"],
        tables=[("demo", "breast_guest"), ("Shared", "a")],
    )
    assert found == [
        "role arbiter: jobs of this site may use host",
        "component Intersection: jobs of this site may use dataio, Hetero*",
        "table Shared/a: jobs of this site may not read it",
        "table demo/breast_guest: jobs of this site may not read it",
    ]


def test_nothing_allowed() -> None:
    policy = Policy(roles=(), components=(), tables=())
    assert len(policy.refusals(roles=["host"], modules=["m"], tables=[("n", "t")])) == 3


def test_it_is_stored_and_changed_by_parts() -> None:
    assert Policy.from_json(STRICT.to_json()) == STRICT
    changed = STRICT.changed({"approval": "auto", "tables": [], "roles": None})
    assert (changed.approval, changed.tables, changed.roles) == ("auto", (), ("host",))
    assert Policy.from_json("{}") == Policy()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"approval": "maybe"}, "approval: found 'maybe'; allowed: auto, ask"),
        ({"roles": ["king"]}, "roles: found 'king'; allowed: guest, host, arbiter"),
        ({"roles": "host"}, "roles: found str; allowed: a list of texts"),
        ({"tables": [""]}, "tables: found too many, too long or empty ones"),
        ({"components": [1]}, "components: found too many"),
        ({"table": []}, "table: unknown rule; allowed: roles, components, tables, approval"),
    ],
)
def test_bad_rules_are_refused(wanted: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        Policy().changed(wanted)


@pytest.mark.parametrize("text", ["", "[]", "nothing", "1"])
def test_only_an_object_is_a_policy(text: str) -> None:
    with pytest.raises(InvalidInputError):
        Policy.from_json(text)
