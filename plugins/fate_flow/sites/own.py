"""This site as others see it: its invitation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fate_flow.entities import Party
from fate_flow.errors import ConfigurationError
from fate_flow.federation.identity import SiteIdentity
from fate_flow.sites import invitation

if TYPE_CHECKING:
    from fate_flow.settings import Settings


def identity_of(settings: Settings) -> SiteIdentity:
    """
    Raises:
        ConfigurationError: the site is a standalone one.
    """
    if not settings.identity_dir.exists():
        raise ConfigurationError(
            f"the site {settings.home} has no identity: it hosts all parties and knows no others",
            remedy="fate_flow init --party ROLE:ID makes a site that has others beside it",
        )
    return SiteIdentity.load(settings)


def parties_of(settings: Settings) -> tuple[Party, ...]:
    """The parties that this site hosts; none at a site that only connects others.

    Raises:
        ConfigurationError: the setting PARTIES cannot be read.
    """
    try:
        return tuple(Party.parse(str(text)) for text in settings.PARTIES)
    except ValueError:
        raise ConfigurationError(
            f"PARTIES: found {settings.PARTIES!r:.200}; allowed: role:id"
        ) from None


def address_of(settings: Settings) -> str:
    """host:port under which others reach the gateway."""
    return str(settings.GATEWAY_ADDRESS) or str(settings.grpc_address)


def invite(
    settings: Settings,
    *,
    days: float = invitation.VALID_DAYS,
    address: str | None = None,
) -> str:
    """Text of an invitation to this site.

    Args:
        days: how long it can be accepted.
        address: instead of the one of the settings; empty: this site cannot be called.

    Raises:
        FateFlowError: no identity, or one that cannot be read.
    """
    own = identity_of(settings)
    made = invitation.new(
        site_id=own.site_id,
        name=own.name,
        parties=parties_of(settings),
        ca_pem=own.ca_pem,
        seal_public=own.seal_public,
        address=address_of(settings) if address is None else address,
        days=days,
    )
    try:
        key = (settings.identity_dir / "ca.key").read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{settings.identity_dir / 'ca.key'} cannot be read: {error.strerror}",
            remedy="Run the command as the user that owns the site",
        ) from None
    return invitation.write(made, key)
