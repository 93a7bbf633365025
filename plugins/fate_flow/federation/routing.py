"""Where a party is: hosted by this site, or by one of the peers.

Tasks talk to the gateway of their own site. Attempts have one coordinator and values one
mailbox: for a job that spans sites they are at the gateway of the initiator's site, to which
the others relay the calls of their tasks (relay.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fate_flow.entities import ROLES, Party
from fate_flow.errors import ConfigurationError, FateFlowError
from fate_flow.federation.peers import Peer, PeerTable


class RouteError(FateFlowError):
    """Nobody knows where a party is."""

    code = "no_route"
    remedy = "List the party under PARTIES of the site that hosts it, or add its site as a peer"


@dataclass(frozen=True)
class Local:
    """The party's tasks run at this site."""


Destination = Local | Peer
_LOCAL = Local()


@dataclass(frozen=True)
class Router:
    """Finds parties.

    Attributes:
        hosted: parties of this site; None: all that no peer hosts (standalone).
        peers: the other sites.

    Raises:
        ConfigurationError: a peer speaks for a party of this site.
    """

    hosted: frozenset[Party] | None = None
    peers: PeerTable = field(default_factory=PeerTable)

    def __post_init__(self) -> None:
        for party in sorted(self.hosted or ()):
            peer = self.peers.of_party(party)
            if peer is not None:
                raise ConfigurationError(
                    f"{party} is hosted here (PARTIES) and is a party of peer {peer.name}",
                    remedy="A party has one site; change PARTIES or the parties of the peer",
                )

    @classmethod
    def from_setting(cls, parties: Iterable[object], peers: PeerTable | None = None) -> Router:
        """Router of the setting ``PARTIES`` (``role:id`` each; empty: all parties).

        Raises:
            ConfigurationError: an entry is not a party, or a peer has it too.
        """
        hosted = frozenset(_party(entry) for entry in parties)
        return cls(hosted or None, peers or PeerTable())

    def resolve(self, party: Party) -> Destination:
        """Where a party is.

        Raises:
            RouteError: not here and at no peer.
        """
        peer = self.peers.of_party(party)
        if peer is not None:
            return peer
        if self.hosted is None or party in self.hosted:
            return _LOCAL
        raise RouteError(f"party {party} is not hosted here and at no peer")

    def require_known(self, parties: Iterable[Party]) -> None:
        """
        Raises:
            RouteError: one of them is nowhere.
        """
        for party in parties:
            self.resolve(party)


def _party(entry: object) -> Party:
    try:
        party = Party.parse(str(entry))
    except ValueError:
        party = Party("", 0)
    if party.role not in ROLES:
        raise ConfigurationError(
            f"PARTIES: found {entry!r}", remedy="Write role:id, for instance guest:9999"
        )
    return party
