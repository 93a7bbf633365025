"""From texts to typed columns, with errors that name the cell."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fate_flow.components.data_io.params import numpy_kind
from fate_flow.errors import DataError

#: Texts that stand for a missing number in dense data without missing filling.
NOT_A_NUMBER = pa.array(["", "NULL", "null", "NA"])

_ARROW = {"i": pa.int64(), "f": pa.float64(), "s": pa.string()}
_INT64 = np.iinfo(np.int64)


def arrow_type(name: str) -> pa.DataType:
    """Type of a stored column for a type name of the conf (``float64``, ``int``, ``str`` …)."""
    return _ARROW[numpy_kind(name)]


def cast(texts: pa.Array, kind: pa.DataType, column: str, ids: pa.Array) -> pa.Array:
    """Texts as numbers (or as they are, for texts); null stays null.

    Args:
        texts: string array of length n.
        kind: float64, int64 or string.
        column: name for the error. ids: string array of length n, for the error.

    Raises:
        DataError: names the column, the id and the text that is no such number.
    """
    if pa.types.is_string(kind):
        return texts
    try:
        return pc.cast(texts, kind)
    except pa.ArrowInvalid:
        return _cast_one_by_one(texts, kind, column, ids)


def _cast_one_by_one(texts: pa.Array, kind: pa.DataType, column: str, ids: pa.Array) -> pa.Array:
    """Like cast for what Arrow's parser does not take: ``+1``, `` 1``, ``2.0`` as an integer."""
    convert = _to_int if pa.types.is_integer(kind) else _to_float
    values: list[float | int | None] = []
    for position, text in enumerate(texts.to_pylist()):
        try:
            values.append(None if text is None else convert(text))
        except ValueError:
            _refuse(text, kind, column, ids[position].as_py())
    return pa.array(values, kind)


def _to_float(text: str) -> float:
    if "_" in text:
        raise ValueError(text)
    return float(text)


def _to_int(text: str) -> int:
    number = _to_float(text)
    if not number.is_integer():  # raises OverflowError never, False for nan and inf
        raise ValueError(text)
    whole = int(text) if text.strip().lstrip("+-").isdigit() else int(number)
    if not _INT64.min <= whole <= _INT64.max:
        raise ValueError(text)
    return whole


def _refuse(text: str, kind: pa.DataType, column: str, sid: str) -> NoReturn:
    wanted = "an integer" if pa.types.is_integer(kind) else "a number"
    raise DataError(
        f"column {column!r}, id {sid!r}: found {text[:60]!r}, which is not {wanted}",
        remedy="Correct the data, list the text in missing_impute or outlier_impute,"
        " or set data_type (exclusive_data_type for one column)",
    )


def refuse_missing(values: pa.Array, column: str, ids: pa.Array, why: str) -> None:
    """Raises:
    DataError: names the first id whose value is missing, when there is one.
    """
    if values.null_count:
        position = pc.index(values.is_null(), True).as_py()
        raise DataError(
            f"column {column!r}, id {ids[position].as_py()!r}: the value is missing, {why}",
            remedy="Set missing_fill to true",
        )
