"""The nouns of the platform: frozen dataclasses and enumerations shared by all rooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

ROLES = ("guest", "host", "arbiter", "local")


class JobStatus(str, Enum):
    """Life of a job; the last four never change back."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELED = "canceled"

    @property
    def is_terminal(self) -> bool:
        return self not in (JobStatus.WAITING, JobStatus.RUNNING)


class TaskStatus(str, Enum):
    """Life of a task: one component run by one party."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELED = "canceled"
    PASS = "pass"  # noqa: S105

    @property
    def is_terminal(self) -> bool:
        return self not in (TaskStatus.WAITING, TaskStatus.RUNNING)


@dataclass(frozen=True, order=True)
class Party:
    """A role and a party id; written ``guest 9999`` in texts and ``guest_9999`` in names."""

    role: str
    party_id: int

    def __str__(self) -> str:
        return f"{self.role} {self.party_id}"

    @property
    def key(self) -> str:
        return f"{self.role}_{self.party_id}"

    @classmethod
    def parse(cls, key: str) -> Party:
        """Inverse of :attr:`key`; also takes ``guest:9999``."""
        role, _, party_id = key.replace(":", "_").rpartition("_")
        return cls(role, int(party_id))


@dataclass(frozen=True)
class ComponentPlan:
    """One node of a compiled job.

    Attributes:
        name: component name (``hetero_lr_0``).
        module: module name (``HeteroLR``).
        data: data type -> references (``{"train_data": ["intersection_0.train"]}``).
        model: references of ``input.model``.
        isometric_model: references of ``input.isometric_model``.
        output_data: names in ``output.data``; the first one is stored under.
        output_model: aliases in ``output.model``; the first one is stored under.
        parties: the parties that run it, in conf order.
        parameters: party key -> merged configuration of that party:
            ``{"<ParamClass>": {...}, "module": ..., "local": {...}}``.
        upstream: names of the components that must have succeeded before, in DSL order.
    """

    name: str
    module: str
    data: Mapping[str, Sequence[str]]
    model: Sequence[str]
    isometric_model: Sequence[str]
    output_data: Sequence[str]
    output_model: Sequence[str]
    parties: Sequence[Party]
    parameters: Mapping[str, Mapping[str, Any]]
    upstream: Sequence[str]

    @property
    def data_name(self) -> str:
        """Name its output table is stored under."""
        return self.output_data[0] if self.output_data else "component"

    @property
    def model_alias(self) -> str:
        """Alias its model is stored under."""
        return self.output_model[0] if self.output_model else "default"


@dataclass(frozen=True)
class Plan:
    """A validated job: pure, canonical, no clock, no job id.

    Attributes:
        roles: role -> party ids, in conf order.
        initiator: the party that submitted.
        components: in topological order (stable: DSL order among equals).
        job_parameters: as submitted.
        job_args: party key -> data key -> (namespace, name), or None for an empty reference.
        content_hash: SHA-256 (hex) of the canonical JSON of all the above.
        warnings: what was accepted but looks wrong (unknown keys, short keys).
    """

    roles: Mapping[str, Sequence[int]]
    initiator: Party
    components: Sequence[ComponentPlan]
    job_parameters: Mapping[str, Any]
    job_args: Mapping[str, Mapping[str, tuple[str, str] | None]]
    content_hash: str = ""
    warnings: Sequence[str] = field(default_factory=tuple)

    @property
    def parties(self) -> list[Party]:
        return [Party(role, party_id) for role, ids in self.roles.items() for party_id in ids]

    def component(self, name: str) -> ComponentPlan:
        for component in self.components:
            if component.name == name:
                return component
        raise KeyError(name)


@dataclass(frozen=True)
class Placement:
    """Where the parties of a job that spans sites are, as one of these sites sees it.

    Attributes:
        local: parties whose tasks this site runs.
        home: the initiator; the gateway of its site holds the rooms of the job's components.
        home_is_local: whether that is this site.
        ticket: lets this site's gateway take part at the home gateway; empty at the home.
        seal_keys: party -> X25519 public key of its site, hexadecimal; all parties.
        sites: name of a peer -> its parties; this site is not among them.
    """

    local: frozenset[Party]
    home: Party
    home_is_local: bool
    ticket: str
    seal_keys: Mapping[Party, str]
    sites: Mapping[str, Sequence[Party]]


@dataclass(frozen=True)
class TaskIdentity:
    """Who a running task is: the scope of its token, its messages and its reports.

    Attributes:
        job_id: id of the job.
        component: component name.
        module: module name.
        party: the party that runs it.
        roles: role -> party ids of the whole job, in conf order.
        attempt: attempt number agreed with the other parties, from 0.
    """

    job_id: str
    component: str
    module: str
    party: Party
    roles: Mapping[str, Sequence[int]]
    attempt: int = 0

    @property
    def task_id(self) -> str:
        return f"{self.job_id}_{self.component}"

    def parties(self, *roles: str) -> list[Party]:
        """Parties of the given roles (all roles when none is given), in conf order."""
        wanted = roles or tuple(self.roles)
        return [Party(role, party_id) for role in wanted for party_id in self.roles.get(role, ())]


def all_party_key(roles: Mapping[str, Sequence[int]]) -> str:
    """``arbiter-10000#guest-9999#host-10000_10001``: roles by name, ids by number."""
    return "#".join(
        f"{role}-{'_'.join(str(p) for p in sorted(set(roles[role])))}" for role in sorted(roles)
    )


def model_id_of(roles: Mapping[str, Sequence[int]]) -> str:
    return f"{all_party_key(roles)}#model"


def party_model_id(party: Party, model_id: str) -> str:
    return f"{party.role}#{party.party_id}#{model_id}"
