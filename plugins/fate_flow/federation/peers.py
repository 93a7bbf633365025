"""The other sites that this one knows: who they are, where, and for whom they may speak."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fate_flow.entities import ROLES, Party
from fate_flow.errors import ConfigurationError, FateFlowError

#: Major and minor version of what sites say to each other. Another major is refused; a
#: site ignores what a newer minor added.
PEER_PROTOCOL = (1, 0)

_NAME = re.compile(r"[a-z0-9][a-z0-9\-]{0,39}")
_SITE_ID = re.compile(r"[0-9a-f]{16}")
_SEAL_KEY = re.compile(r"[0-9a-f]{64}")


class PeerUnreachableError(FateFlowError):
    """A peer's gateway does not answer."""

    code = "peer_unreachable"
    remedy = "fate_flow peer check NAME says what is wrong with the connection"


class PeerRefusedError(FateFlowError):
    """A peer answered with a refusal; the text is the peer's.

    Attributes:
        data: what the answer carried besides.
    """

    code = "peer_refused"

    def __init__(
        self, message: str, *, remedy: str = "", retcode: int | None = None, data: Any = None
    ) -> None:
        super().__init__(message, remedy=remedy, retcode=retcode)
        self.data = data


class SiteNotReadyError(FateFlowError):
    """The API of the site that was called does not answer its own gateway."""

    code = "site_not_ready"
    remedy = "Its service may be starting; the message can be sent again"


class ProtocolVersionError(FateFlowError):
    """Two sites speak different versions."""

    code = "peer_protocol"
    remedy = "Bring both sites to the same major version of FATE-Flow"


@dataclass(frozen=True)
class Peer:
    """One other site.

    Attributes:
        name: what it is called here: lower-case letters, digits, hyphens.
        site_id: 16 hexadecimal digits that it gave itself; part of its certificate's name.
        parties: whom its certificate may speak for.
        ca_pem: certificate of its own authority; the only one that is trusted for it.
        seal_public: X25519 public key, hexadecimal, that values for its parties are sealed to.
        address: host:port of its gateway; empty when it cannot be called directly.
        via: name of the peer that connects us to it; empty: directly.
        dials_in: it cannot be called, but keeps a connection open to us.
        we_dial: we cannot be called, and keep a connection open to it.
        may_route: it may reach our other peers through us.
    """

    name: str
    site_id: str
    parties: tuple[Party, ...]
    ca_pem: str
    seal_public: str
    address: str = ""
    via: str = ""
    dials_in: bool = False
    we_dial: bool = False
    may_route: bool = False

    def __post_init__(self) -> None:
        problems = [
            f"{what}: found {found!r}; allowed: {allowed}"
            for what, found, allowed, fine in (
                (
                    "name",
                    self.name,
                    "1 to 40 of a-z, 0-9 and -, not beginning with -",
                    bool(_NAME.fullmatch(self.name)),
                ),
                (
                    "site_id",
                    self.site_id,
                    "16 hexadecimal digits",
                    bool(_SITE_ID.fullmatch(self.site_id)),
                ),
                (
                    "seal_public",
                    self.seal_public,
                    "64 hexadecimal digits",
                    bool(_SEAL_KEY.fullmatch(self.seal_public)),
                ),
                ("via", self.via, "the name of another peer", self.via != self.name),
            )
            if not fine
        ]
        problems += [
            f"parties: found {party}; allowed roles: {', '.join(ROLES)}"
            for party in self.parties
            if party.role not in ROLES
        ]
        if problems:
            raise ConfigurationError(f"peer {self.name!r:.60}: {'; '.join(problems)}")

    @property
    def server_name(self) -> str:
        """Name in the certificate of its gateway."""
        return f"{self.site_id}.fate-flow"

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        values["parties"] = [party.key for party in self.parties]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Peer:
        """
        Raises:
            ConfigurationError: a value is missing or not what it should be.
        """
        names = {field.name for field in fields(cls)}
        known = {key: value for key, value in values.items() if key in names}
        try:
            known["parties"] = tuple(Party.parse(str(text)) for text in known["parties"])
            return cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"a peer cannot be read: {error}") from None


class PeerTable:
    """All peers of a site.

    Raises:
        ConfigurationError: two peers share a name, a site id or a party, or ``via`` names none.
    """

    def __init__(self, peers: Iterable[Peer] = ()) -> None:
        self._by_name: dict[str, Peer] = {}
        self._by_site: dict[str, Peer] = {}
        self._by_party: dict[Party, Peer] = {}
        for peer in sorted(peers, key=lambda peer: peer.name):
            if peer.name in self._by_name or peer.site_id in self._by_site:
                raise ConfigurationError(f"two peers are {peer.name} or {peer.site_id}")
            self._by_name[peer.name] = self._by_site[peer.site_id] = peer
            for party in peer.parties:
                other = self._by_party.setdefault(party, peer)
                if other is not peer:
                    raise ConfigurationError(
                        f"{party} is at {other.name} and at {peer.name}",
                        remedy="A party has one site; change the parties of one of the peers",
                    )
        for peer in self:
            if peer.via and (peer.via not in self._by_name or self._by_name[peer.via].via):
                raise ConfigurationError(
                    f"peer {peer.name} is reached via {peer.via}, which is no peer that is "
                    "reached directly"
                )

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def named(self, name: str) -> Peer | None:
        return self._by_name.get(name)

    def of_site(self, site_id: str) -> Peer | None:
        return self._by_site.get(site_id)

    def of_party(self, party: Party) -> Peer | None:
        return self._by_party.get(party)

    def to_json(self) -> str:
        """Canonical: equal tables have equal texts."""
        return json.dumps([peer.to_dict() for peer in self], sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> PeerTable:
        """
        Raises:
            ConfigurationError: the text is not that of a table.
        """
        try:
            entries = json.loads(text)
        except ValueError:
            entries = None
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise ConfigurationError("the list of peers cannot be read")
        return cls(Peer.from_dict(entry) for entry in entries)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()
