"""What other sites may ask of this one's API, by the name of the message.

A message has passed the gateway: its certificate says which peer sent it. What the peer may
do with it is for the handler to check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from fate_flow.errors import UnsupportedError
from fate_flow.sites import checks

if TYPE_CHECKING:
    from fate_flow.settings import Settings

#: (session, settings, name of the peer, body) -> ``data`` of the answer.
Handler = Callable[["Session", "Settings", str, Mapping[str, Any]], Any]

_HANDLERS: dict[str, Handler] = {
    checks.METHOD: lambda _, settings, peer, body: checks.answer(settings, peer, body),
}


def register(method: str, handler: Handler) -> None:
    """Take messages of this name from now on."""
    _HANDLERS[method] = handler


def answer(
    session: Session, settings: Settings, peer: str, method: str, body: Mapping[str, Any]
) -> Any:
    """What a peer's message comes to.

    Raises:
        UnsupportedError: a message that this version does not know.
        FateFlowError: the answer is no.
    """
    handler = _HANDLERS.get(method)
    if handler is None:
        raise UnsupportedError(
            f"this site does not know the message {method!r:.60}",
            remedy="Bring the older of the two sites up to date",
        )
    return handler(session, settings, peer, body)
