"""Reading of delimited text files in blocks of whole lines, without a Python loop over lines.

A line is ``id,item,item,...``. There is no quoting and no escaping; tabs count as commas
(FATE 1.4). Line ends may be LF, CR LF or CR; empty lines at the end of the file are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from fate_flow.errors import DataError, Problem

_LF, _CR, _COMMA = b"\n", b"\r", b","
_BOM = b"\xef\xbb\xbf"
#: A longer line is taken for a file that is no text.
LONGEST_LINE = 16 << 20
#: Beginnings of files that people upload by mistake.
_FOREIGN = {
    b"\x1f\x8b": "gzip archive",
    b"PK\x03\x04": "zip archive or Excel workbook",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"PAR1": "Parquet file",
    b"\xd0\xcf\x11\xe0": "Excel workbook",
}

_Positions = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass
class LineProblems:
    """The first bad lines of a file, and how many there are.

    Attributes:
        file: name shown to the user.
        shown: at most ``limit`` problems, in line order.
        count: number of all bad lines.
    """

    file: str
    limit: int = 10
    shown: list[Problem] = field(default_factory=list)
    count: int = 0

    def add(self, lines: _Positions | list[int], message: str) -> None:
        """Note lines (1-based numbers, ascending) that are bad for one reason."""
        self.count += len(lines)
        for line in lines[: self.limit]:
            self.shown.append(Problem(f"line {int(line)}", message))

    def raise_if_any(self) -> None:
        """Raises:
        DataError: lists the first bad lines.
        """
        if not self.count:
            return
        shown = sorted(self.shown, key=lambda p: int(p.path.split()[1]))[: self.limit]
        text = "\n".join(str(problem) for problem in shown)
        more = self.count - len(shown)
        more_text = f"\nand {more} more" if more > 0 else ""
        noun = "line" if self.count == 1 else "lines"
        raise DataError(
            f"{self.file}: {self.count} {noun} cannot be used, nothing was imported:"
            f"\n{text}{more_text}",
            remedy="Correct the file and upload it again",
        )


@dataclass(frozen=True)
class Block:
    """Whole lines: ``data`` ends with LF; its first line has the number ``line``."""

    line: int
    data: bytes
    position: int


def read_blocks(file: BinaryIO, name: str, block_bytes: int) -> Iterator[Block]:
    """The lines of a file; ``Block.position`` is the number of bytes read so far.

    Raises:
        DataError: the file is empty, or plainly no text.
    """
    line, rest, blank = 1, b"", 0
    for raw, position in _chunks(file, name, block_bytes):
        data = rest + raw
        cut = data.rfind(_LF) + 1
        rest = data[cut:]
        if len(rest) > LONGEST_LINE:
            where = line + blank + data.count(_LF, 0, cut)
            raise DataError(f"{name}: line {where} is longer than {LONGEST_LINE >> 20} MB")
        whole = data[:cut]
        # Empty lines are held back until something follows: at the end they do no harm.
        text = whole.rstrip(_LF)
        if not text:
            blank += len(whole)
            continue
        held = _LF * min(blank, block_bytes)
        blank = len(whole) - len(text) - 1
        block = held + text + _LF
        yield Block(line, block, position)
        line += block.count(_LF)
    if rest:
        yield Block(line, _LF * min(blank, block_bytes) + rest + _LF, file.tell())
    elif line == 1:
        raise DataError(f"{name} is empty", remedy="Give a file with at least one row")


def _chunks(file: BinaryIO, name: str, size: int) -> Iterator[tuple[bytes, int]]:
    """Pieces of the file with LF as the only line end."""
    first = True
    while piece := file.read(size):
        if first:
            for magic, kind in _FOREIGN.items():
                if piece.startswith(magic):
                    raise DataError(
                        f"{name} is no UTF-8 text but looks like a {kind}",
                        remedy="Give a text file with one row per line",
                    )
            piece = piece.removeprefix(_BOM)
            first = False
        if _CR in piece:
            if piece.endswith(_CR):
                piece += file.read(1)
            piece = piece.replace(b"\r\n", _LF).replace(_CR, _LF)
        yield piece, file.tell()


def split_first_line(block: Block) -> tuple[bytes, Block | None]:
    """The first line without its end, and the rest of the block."""
    cut = block.data.index(_LF) + 1
    rest = block.data[cut:]
    return block.data[: cut - 1], Block(block.line + 1, rest, block.position) if rest else None


def parse(
    block: Block, delimiter: str, columns: int | None, problems: LineProblems
) -> tuple[pa.Array, pa.Array]:
    """Ids and values of a block's lines.

    Args:
        delimiter: one ASCII character between items; tabs and it become commas.
        columns: number of items that every line must have; None: any.
        problems: receives the lines that cannot be used.

    Returns:
        Two string arrays of one entry per line: the first item, and the others joined
        with commas (empty for a line of one item). Meaningless where a line is bad.
    """
    data = block.data
    found = len(problems.shown), problems.count
    if delimiter != "," and _COMMA in data:
        commas, starts, ends = _find(data)
        bad = np.searchsorted(commas, starts) < np.searchsorted(commas, ends)
        problems.add(
            np.flatnonzero(bad) + block.line,
            "holds a comma, which separates the items of a stored row",
        )
    separators = delimiter.encode() + b"\t"
    if any(byte in data for byte in separators if byte != ord(",")):
        data = data.translate(bytes.maketrans(separators, b",," if len(separators) == 2 else b","))
    commas, starts, ends = _find(data)
    low, high = np.searchsorted(commas, starts), np.searchsorted(commas, ends)
    has_comma = high > low
    first = ends.copy()
    first[has_comma] = commas[low[has_comma]]
    empty = starts == ends
    problems.add(np.flatnonzero(empty) + block.line, "empty line")
    problems.add(np.flatnonzero((first == starts) & ~empty) + block.line, "the id is empty")
    if columns is not None:
        _note_ragged(block, high - low + 1, columns, empty, problems)
    ids, values = _cut(data, starts, first, ends)
    if not _is_utf8(ids) or not _is_utf8(values):
        _note_bad_encoding(block, problems)
    if (len(problems.shown), problems.count) != found:
        empty_texts = pa.array([], pa.string())
        return empty_texts, empty_texts
    return ids, values


def _find(data: bytes) -> tuple[_Positions, _Positions, _Positions]:
    """Positions of all commas, line starts and line ends."""
    view = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(view == ord("\n"))
    starts = np.concatenate([np.zeros(1, dtype=ends.dtype), ends[:-1] + 1])
    return np.flatnonzero(view == ord(",")), starts, ends


def _cut(
    data: bytes, starts: _Positions, first: _Positions, ends: _Positions
) -> tuple[pa.Array, pa.Array]:
    """Ids and values as string arrays, cut out of the block in one go."""
    # Every line is four neighbouring pieces: id, comma, value, line end.
    offsets = np.empty(4 * len(starts) + 1, dtype=np.int32)
    offsets[0:-1:4] = starts
    offsets[1:-1:4] = first
    offsets[2:-1:4] = np.minimum(first + 1, ends)
    offsets[3:-1:4] = ends
    offsets[-1] = len(data)
    pieces = pa.Array.from_buffers(
        pa.string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
    rows = np.arange(len(starts)) * 4
    return pieces.take(pa.array(rows)), pieces.take(pa.array(rows + 2))


def _note_ragged(
    block: Block,
    items: _Positions,
    columns: int,
    empty: np.ndarray[tuple[int], np.dtype[np.bool_]],
    problems: LineProblems,
) -> None:
    for count in np.unique(items[(items != columns) & ~empty]):
        lines = np.flatnonzero((items == count) & ~empty) + block.line
        noun = "item" if count == 1 else "items"
        problems.add(lines, f"{count} {noun} where the header has {columns}")


def _is_utf8(texts: pa.Array) -> bool:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _note_bad_encoding(block: Block, problems: LineProblems) -> None:
    for number, line in enumerate(block.data.split(_LF)[:-1], block.line):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            problems.add([number], f"byte {error.start + 1} (0x{byte:02x}) is not UTF-8")
