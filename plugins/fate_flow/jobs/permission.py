"""What parties may do to each other: privileges, and the checks of FATE-Flow 1.4.

A privilege lets a *source* (the party that submits jobs, and its role) use a role, a
command or a component of the other parties that this site hosts. Privileges can always be
granted and read; they are asked for only while ``USE_AUTHENTICATION`` is on, and never by
party 0 (``local``) or by a party about itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from fate_flow.db.models import Privilege
from fate_flow.entities import Party, Plan
from fate_flow.errors import FateFlowError
from fate_flow.runtime.registry import modules
from fate_flow.tracking import store as tracking

if TYPE_CHECKING:
    from fate_flow.settings import Settings

ROLE, COMMAND, COMPONENT = KINDS = ("role", "command", "component")
ROLES = ("guest", "host", "arbiter")
CREATE_JOB, SAVE_PIPELINE, CLEAN, RUN_TASK = COMMANDS = (
    "create_job",
    "save_pipeline",
    "clean",
    "run_task",
)
ALL = "all"
_NEVER_ASKED = ("upload", "download")
_HOW = "fate_flow_client -f grant_privilege, or POST /v1/permission/grant/privilege, grants it"

#: kind -> names with commas between, or ``all``; None or empty: nothing of this kind.
Wanted = Mapping[str, "str | None"]


class NotAuthorizedError(FateFlowError):
    """A party has not been granted what it asks for."""

    code = "not_authorized"
    remedy = (
        "POST /v1/permission/grant/privilege, or fate_flow_client -f grant_privilege, grants it"
    )


def values_of(kind: str) -> tuple[str, ...]:
    """Everything that can be granted of a kind."""
    if kind == ROLE:
        return ROLES
    if kind == COMMAND:
        return COMMANDS
    return tuple(sorted({name.lower() for name in modules()} - set(_NEVER_ASKED)))


# -- granting --------------------------------------------------------------------------------


def grant(session: Session, party_id: str, role: str, wanted: Wanted) -> None:
    """Grant privileges; what was granted before stays.

    Raises:
        FateFlowError: ``<value> does not exist in the permission <kind>``; nothing is granted.
    """
    for kind, names in _named(wanted).items():
        present = set(granted(session, party_id, role, kind))
        for value in dict.fromkeys(values_of(kind) if ALL in names else names):
            if value not in present:
                session.add(Privilege(src_party_id=party_id, src_role=role, kind=kind, value=value))
    session.flush()


def revoke(session: Session, party_id: str, role: str, wanted: Wanted) -> None:
    """Take privileges back.

    Raises:
        FateFlowError: something of it is not granted; nothing is taken back.
    """
    taken: dict[str, list[str]] = {}
    for kind, names in _named(wanted).items():
        present = granted(session, party_id, role, kind)
        if ALL in names:
            if not present:
                raise FateFlowError("No permission to delete")
            taken[kind] = list(present)
            continue
        for name in names:
            if name not in present:
                raise FateFlowError(f"{kind} {name} is not authorized ,it cannot be deleted")
        taken[kind] = names
    for kind, values in taken.items():
        session.execute(
            delete(Privilege).where(
                Privilege.src_party_id == party_id,
                Privilege.src_role == role,
                Privilege.kind == kind,
                Privilege.value.in_(values),
            )
        )


def granted(session: Session, party_id: str, role: str, kind: str) -> list[str]:
    """What a source has of a kind, in the order of :func:`values_of`."""
    found = set(
        session.scalars(
            select(Privilege.value).where(
                Privilege.src_party_id == party_id,
                Privilege.src_role == role,
                Privilege.kind == kind,
            )
        )
    )
    return [value for value in values_of(kind) if value in found]


def _named(wanted: Wanted) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind, text in wanted.items():
        names = [name.strip().lower() for name in (text or "").split(",") if name.strip()]
        known = {*values_of(kind), ALL}
        for name in names:
            if name not in known:
                raise FateFlowError(
                    f"{name[:80]} does not exist in the permission {kind}",
                    remedy=f"Allowed: {', '.join(values_of(kind))}, {ALL}",
                )
        if names:
            found[kind] = names
    return found


# -- checking --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gate:
    """Checks what one source asks of the parties here.

    Attributes:
        session: of the request.
        settings: of the site; ``USE_AUTHENTICATION`` and the white list.
        source: who submitted the job.
    """

    session: Session
    settings: Settings
    source: Party

    def check(self, destination: Party, command: str, module: str | None = None) -> None:
        """May the source do this at ``destination``?

        Raises:
            NotAuthorizedError: in FATE-Flow's words.
        """
        if not self._is_asked(destination):
            return
        if self.source.role != "guest":
            raise NotAuthorizedError(f"src_role {self.source.role} is not guest")
        needed = [(ROLE, destination.role), (COMMAND, command)]
        if module is not None:
            needed.append((COMPONENT, module.lower()))
        for kind, value in needed:
            if value not in self._allowed(kind):
                raise NotAuthorizedError(f"{kind} {value} not authorized")

    def check_creation(self, plan: Plan, parties: Iterable[Party] | None = None) -> None:
        """May the source create this job at every party of it?

        Args:
            parties: those to ask; all by default.

        Raises:
            FateFlowError: names every party that refuses, and its reason.
        """
        refusals = []
        for party in plan.parties if parties is None else parties:
            try:
                self._check_creation_at(party, plan)
            except NotAuthorizedError as error:
                refusals.append(
                    "an error occurred while creating the job: "
                    f"role {party.role} party_id {party.party_id}\n{error.message}"
                )
        if refusals:
            raise NotAuthorizedError("\n".join(refusals), remedy=_HOW)

    def _check_creation_at(self, party: Party, plan: Plan) -> None:
        if not self._is_asked(party):
            return
        self.check(party, CREATE_JOB)
        both = set(plan.roles.get("host", ())) & set(plan.roles.get("guest", ()))
        if both:
            raise NotAuthorizedError(f"host {sorted(both)} can not be used as guest")
        who = f"src_role {self.source.role} src_party_id {self.source.party_id}"
        self._check_all(who, "commond", COMMAND, COMMANDS)
        used = (component.module.lower() for component in plan.components)
        self._check_all(who, "component", COMPONENT, (m for m in used if m not in _NEVER_ASKED))

    def _check_all(self, who: str, word: str, kind: str, values: Iterable[str]) -> None:
        missing = sorted(set(values) - self._allowed(kind))
        if missing:
            raise NotAuthorizedError(
                f"{who} {word} authentication that needs to be run failed:{', '.join(missing)}"
            )

    def _is_asked(self, destination: Party) -> bool:
        return bool(self.settings.USE_AUTHENTICATION) and destination.party_id not in (
            0,
            self.source.party_id,
        )

    def _allowed(self, kind: str) -> set[str]:
        given = granted(self.session, str(self.source.party_id), self.source.role, kind)
        white_list = {str(name) for name in self.settings.PRIVILEGE_COMMAND_WHITELIST}
        return {*given, *white_list}


def gate_of_job(session: Session, settings: Settings, job_id: str) -> Gate | None:
    """The gate for a stored job's initiator; None when its row is not here."""
    row = tracking.initiator_row(session, job_id)
    if row is None:
        return None
    return Gate(session, settings, Party(row.f_role, int(row.f_party_id)))
