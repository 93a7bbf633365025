"""Models as they are stored: one message of what was asked, one of what was learnt."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from fate_flow.errors import DataError
from fate_flow.runtime.context import ModelBuffers

Meta = TypeVar("Meta", bound=Message)
Learnt = TypeVar("Learnt", bound=Message)


def read_pair(
    buffers: ModelBuffers,
    meta: type[Meta],
    learnt: type[Learnt],
    *,
    what: str,
    module: str,
    names: tuple[str, str] | None = None,
) -> tuple[Meta, Learnt]:
    """Both messages.

    Args:
        names: of the buffers; those of the messages when None.
        what: the model is of, in words.
        module: that puts out such models.

    Raises:
        DataError: the buffers are of another model.
    """
    first, second = names or (meta.DESCRIPTOR.name, learnt.DESCRIPTOR.name)
    try:
        return meta.FromString(buffers[first]), learnt.FromString(buffers[second])
    except (KeyError, DecodeError):
        raise DataError(
            f"the model is not a {what}; it has {sorted(buffers)}",
            remedy=f"Connect the output.model of a {module}",
        ) from None
