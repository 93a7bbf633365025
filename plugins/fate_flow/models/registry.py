"""Which protobuf class a stored model buffer is parsed with, and its JSON form.

The definition file of a model names the class of each buffer. Where a buffer comes without
one, its name usually is the class's name; :data:`BUFFER_CLASSES` has the exceptions.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message

from fate_flow.errors import FateFlowError, UnsupportedError
from fate_flow.models import proto
from fate_flow.models.proto.default_empty_fill_pb2 import DefaultEmptyFillMessage

_PAIRS = {
    "HeteroLogisticRegression": "LRModel",
    "HomoLogisticRegression": "LRModel",
    "LocalBaseline": "LRModel",
    "HeteroLinearRegression": "LinRModel",
    "HeteroPoissonRegression": "PoissonModel",
    "HeteroSecureBoostingTreeGuest": "BoostingTreeModel",
    "HeteroSecureBoostingTreeHost": "BoostingTreeModel",
    "HomoSecureBoostingTreeGuest": "BoostingTreeModel",
    "HeteroFactorizationMachine": "FMModel",
    "HomoFactorizationMachine": "FMModel",
    "HeteroNNGuest": "HeteroNN",
    "HeteroNNHost": "HeteroNN",
    "HomoNNModel": "NNModel",
    "HeteroPearsonModel": "PearsonModel",
}

#: Buffer name -> name of its message class, where they differ.
BUFFER_CLASSES: dict[str, str] = {
    f"{buffer}{kind}": f"{message}{kind}"
    for buffer, message in _PAIRS.items()
    for kind in ("Meta", "Param")
}

#: What a message that serialises to nothing is stored as.
EMPTY_FILL: bytes = DefaultEmptyFillMessage(flag="set").SerializeToString()


class ModelFormatError(FateFlowError):
    """A stored model cannot be read: damaged, or of a kind that this version does not know."""

    code = "model_format"


def proto_files() -> Iterator[Path]:
    """The ``.proto`` sources of all model messages."""
    for folder in proto.__path__:
        yield from sorted(Path(folder).glob("*.proto"))


@cache
def message_classes() -> dict[str, type[Message]]:
    """Class name (short, and with its package) -> class, of all generated modules."""
    found: dict[str, type[Message]] = {}
    for info in pkgutil.walk_packages(proto.__path__, proto.__name__ + "."):
        if not info.name.endswith("_pb2"):
            continue
        module = importlib.import_module(info.name)
        for name in module.DESCRIPTOR.message_types_by_name:
            message = getattr(module, name)
            found.setdefault(name, message)
            found[message.DESCRIPTOR.full_name] = message
    return found


def class_of(buffer: str, class_name: str = "") -> type[Message]:
    """The message class of a buffer.

    Args:
        buffer: buffer name (``HeteroLogisticRegressionParam``).
        class_name: as the model's definition file names it; empty when it does not.

    Raises:
        UnsupportedError: no such class in this version.
    """
    name = class_name or BUFFER_CLASSES.get(buffer, buffer)
    try:
        return message_classes()[name]
    except KeyError:
        raise UnsupportedError(
            f"model buffer {buffer} has the message class {name}, which this version does not know"
        ) from None


def serialise(message: Message) -> bytes:
    """Bytes to store; deterministic, so that equal models are equal files."""
    return message.SerializeToString(deterministic=True) or EMPTY_FILL


def parse(buffer: str, data: bytes, class_name: str = "") -> Message:
    """The message in stored bytes; the filler stands for an empty message.

    Raises:
        UnsupportedError: the class is unknown.
        ModelFormatError: the bytes are not of that class.
    """
    message = class_of(buffer, class_name)()
    if data == EMPTY_FILL and not isinstance(message, DefaultEmptyFillMessage):
        return message
    try:
        message.ParseFromString(data)
    except DecodeError:
        kind = type(message).DESCRIPTOR.name
        raise ModelFormatError(
            f"model buffer {buffer} of {len(data)} bytes is not a {kind} message"
        ) from None
    return message


def to_json(message: Message) -> dict[str, Any]:
    """The protobuf JSON form with default values: lowerCamelCase names, 64-bit integers as
    texts, bytes as base64, NaN and infinities as texts; unset sub-messages are left out."""
    document: dict[str, Any] = MessageToDict(message, always_print_fields_with_no_presence=True)
    return document
