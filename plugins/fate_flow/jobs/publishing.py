"""Publishing a trained model to the servings of the parties here, and binding it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fate_flow.entities import ROLES, Party
from fate_flow.errors import (
    RETCODE_EXCEPTION,
    RETCODE_NOT_FOUND,
    RETCODE_OK,
    ConfigurationError,
    FateFlowError,
    InvalidInputError,
    NotFoundError,
    Problem,
)
from fate_flow.federation.tokens import issue_transfer
from fate_flow.models.serving.publisher import (
    Publication,
    checked_address,
    publish_bind,
    publish_load,
)
from fate_flow.models.store import ModelStore

if TYPE_CHECKING:
    from fate_flow.settings import Settings

log = logging.getLogger("fate_flow.jobs")

#: How long a serving may fetch a model with the link that it was given, seconds.
LINK_SECONDS = 3600.0
#: FATE-Serving builds addresses of services from the id.
_FORBIDDEN_IN_SERVICE_ID = "?:/&"


@dataclass
class Outcome:
    """What the servings of one or more parties said.

    Attributes:
        retcodes: role -> party id -> 0, 101 (a serving refused) or 100 (no answer).
        failures: one line per failure.
    """

    retcodes: dict[str, dict[str, int]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, party: Party, retcode: int, failure: str = "") -> None:
        self.retcodes.setdefault(party.role, {})[str(party.party_id)] = retcode
        if failure:
            self.failures.append(f"{party}: {failure}")


def read_publication(role: Mapping[str, Any], job_parameters: Mapping[str, Any]) -> Publication:
    """The model that a request names.

    Raises:
        InvalidInputError: lists everything that is wrong.
    """
    problems: list[Problem] = []
    roles: dict[str, list[int]] = {}
    for name, ids in role.items():
        try:
            if name not in ROLES or not isinstance(ids, list) or not ids:
                raise ValueError
            roles[name] = [_party_id(value) for value in ids]
        except (TypeError, ValueError):
            allowed = f"{', '.join(ROLES)}, each with a list of party ids"
            problems.append(Problem(f"role.{name!s:.40}", "found something else", allowed))
    if not role:
        problems.append(Problem("role", "empty", '{"<role>": [party ids]}'))
    texts = {}
    for key in ("model_id", "model_version"):
        value = job_parameters.get(key)
        texts[key] = str(value) if isinstance(value, (str, int)) else ""
        if not texts[key]:
            problems.append(Problem(f"job_parameters.{key}", "missing", "a text"))
    if problems:
        raise InvalidInputError(problems)
    return Publication(roles, texts["model_id"], texts["model_version"])


def read_party(value: Mapping[str, Any], path: str) -> Party:
    """``{"role": …, "party_id": …}``.

    Raises:
        InvalidInputError: it is something else.
    """
    try:
        role, party_id = value["role"], _party_id(value["party_id"])
    except (KeyError, TypeError, ValueError):
        role, party_id = None, 0
    if role not in ROLES:
        raise InvalidInputError([Problem(path, "missing or wrong", "role and party_id")])
    return Party(str(role), party_id)


def _party_id(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)) or len(str(value)) > 10:
        raise ValueError
    if not str(value).isascii() or not str(value).isdecimal():
        raise ValueError
    return int(value)


def load(settings: Settings, publication: Publication) -> Outcome:
    """Publish to the servings of every party but arbiters; every party is tried."""
    outcome = Outcome()
    for role, ids in publication.roles.items():
        for party_id in ids if role != "arbiter" else ():
            party = Party(role, party_id)
            try:
                refused = load_at(settings, publication, party)
            except FateFlowError as error:
                outcome.add(party, RETCODE_EXCEPTION, str(error))
            else:
                code = RETCODE_NOT_FOUND if refused else RETCODE_OK
                outcome.add(party, code, "; ".join(refused))
    return outcome


def load_at(settings: Settings, publication: Publication, party: Party) -> list[str]:
    """Publish to every serving of one party here.

    Returns:
        What servings that refused have said.

    Raises:
        NotFoundError: this site has no such model.
        ConfigurationError: no serving is configured.
        ServingUnreachableError: a serving did not answer; the others were asked all the same.
    """
    hosted = {Party.parse(str(text)) for text in settings.PARTIES}
    if hosted and party not in hosted:
        raise FateFlowError(f"{party} is not hosted at this site")
    name = publication.party_model_id(party)
    if not ModelStore(settings.models_dir).exists(name, publication.version):
        raise NotFoundError(
            f"there is no model {name} {publication.version} here", retcode=RETCODE_EXCEPTION
        )
    url = transfer_url(settings, name, publication.version)
    refused: list[str] = []
    silent: list[FateFlowError] = []
    for address in servings_of(settings, party):
        try:
            answer = publish_load(address, publication, party, url)
        except FateFlowError as error:
            silent.append(error)
            continue
        log.info("model %s %s: %s", name, publication.version, answer)
        if answer.status:
            refused.append(str(answer))
    if silent:
        raise silent[0]
    return refused


def bind(
    settings: Settings,
    publication: Publication,
    initiator: Party,
    service_id: str,
    servings: Sequence[Any] | None,
) -> list[str]:
    """Bind a service id at the given servings, else at the initiator's.

    Returns:
        What servings that refused have said.

    Raises:
        InvalidInputError: the service id or an address is not acceptable.
        ConfigurationError: no serving is configured or given.
        ServingUnreachableError: a serving did not answer.
    """
    if any(letter in service_id for letter in _FORBIDDEN_IN_SERVICE_ID):
        allowed = f"a text without {' '.join(_FORBIDDEN_IN_SERVICE_ID)}"
        raise InvalidInputError([Problem("service_id", f"found {service_id[:80]!r}", allowed)])
    if servings:
        addresses = [checked_address(one, f"servings[{i}]") for i, one in enumerate(servings)]
    else:
        addresses = servings_of(settings, initiator)
    answers = [publish_bind(one, publication, initiator, service_id) for one in addresses]
    return [str(answer) for answer in answers if answer.status]


def servings_of(settings: Settings, party: Party) -> list[str]:
    """Serving addresses of a party: ``SERVERS.servings``, a list for all parties of the site,
    or an object with a list for each (``{"guest:9999": ["10.0.0.5:8000"]}``).

    Raises:
        ConfigurationError: there is none.
    """
    configured = settings.SERVERS.get("servings")
    if isinstance(configured, Mapping):
        names = (party.key, f"{party.role}:{party.party_id}")
        configured = next((configured[name] for name in names if name in configured), None)
    if isinstance(configured, str):
        configured = [configured]
    if not isinstance(configured, list) or not configured:
        reason = (
            "; finding servings by zookeeper is not in this version"
            if settings.USE_CONFIGURATION_CENTER
            else ""
        )
        raise ConfigurationError(
            f"no serving of {party} is configured{reason}",
            remedy='Set SERVERS: {"servings": ["host:port"]}',
        )
    return [checked_address(one, f"SERVERS.servings[{i}]") for i, one in enumerate(configured)]


def transfer_url(settings: Settings, namespace: str, name: str) -> str:
    """Where a serving can fetch a model; with a key of its own while tokens are asked for."""
    url = f"{settings.shown_url}/v1/model/transfer"
    if not settings.USE_AUTHENTICATION:
        return url
    key = issue_transfer(settings.secret(), namespace=namespace, name=name, ttl=LINK_SECONDS)
    return f"{url}?key={quote(key)}"
