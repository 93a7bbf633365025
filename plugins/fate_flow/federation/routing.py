"""Where a party is: hosted by this site, or reached through the gateway of a peer site.

Two sites work like this: every message names job, component, attempt, variable, tag, sender
and receivers, so a gateway can pass on what is not for its own parties, over mTLS, to the
address that :class:`Router` gives. Attempts have one coordinator; for a component whose
parties are spread over sites that is the gateway of the job's initiator, and the others relay
the joins of their own tasks to it. This version delivers to local parties only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fate_flow.entities import ROLES, Party
from fate_flow.errors import ConfigurationError, FateFlowError, UnsupportedError


class RouteError(FateFlowError):
    """Nobody knows where a party is."""

    code = "no_route"
    remedy = "List the party under PARTIES of the site that hosts it"


@dataclass(frozen=True)
class Local:
    """The party's tasks run at this site."""


@dataclass(frozen=True)
class PeerSite:
    """The party's tasks run at another site.

    Attributes:
        name: for texts.
        address: host:port of its gateway.
    """

    name: str
    address: str


Destination = Local | PeerSite
_LOCAL = Local()


@dataclass(frozen=True)
class Router:
    """Finds parties.

    Attributes:
        hosted: parties of this site; None: all that no peer hosts (standalone).
        peers: where the others are.
    """

    hosted: frozenset[Party] | None = None
    peers: Mapping[Party, PeerSite] = field(default_factory=dict)

    @classmethod
    def from_setting(cls, parties: Iterable[object]) -> Router:
        """Router of the setting ``PARTIES`` (``role:id`` each; empty: all parties).

        Raises:
            ConfigurationError: an entry is not a party.
        """
        hosted = frozenset(_party(entry) for entry in parties)
        return cls(hosted or None)

    def resolve(self, party: Party) -> Destination:
        """Where a party is.

        Raises:
            RouteError: not here and at no peer.
        """
        if party in self.peers:
            return self.peers[party]
        if self.hosted is None or party in self.hosted:
            return _LOCAL
        raise RouteError(f"party {party} is not hosted here and no peer is configured")

    def require_local(self, parties: Iterable[Party]) -> None:
        """
        Raises:
            RouteError: one of them is nowhere.
            UnsupportedError: one of them is at a peer, which this version does not reach.
        """
        for party in parties:
            destination = self.resolve(party)
            if isinstance(destination, PeerSite):
                raise UnsupportedError(
                    f"party {party} is at site {destination.name} ({destination.address}), "
                    "and this version's gateway delivers to parties of its own site only"
                )


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
