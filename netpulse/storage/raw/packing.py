"""Checks of one monitor packed by column: 4 to 6 bytes a check, and exactly what went in comes out.

A blob is a version byte and, of it: the number of checks; the texts they use; 15 columns. Most
columns of most hours hold one value, which is stored once. Any other is stored as the distance from
its smallest value. Moments are stored as steps from one to the next, which is one value where no
check is missing; the total as what the phases leave of it.

A long block (a day) is a zlib stream of columns that are split into byte planes (all low bytes,
then all second bytes, …), because the high bytes of latencies repeat and the low ones do not. Each
plane is a block of the stream with a code of its own. A short one (an hour) is too short for codes:
each column takes as many bits as its numbers need (`bits`), and a checksum stands at the end.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, cast

from netpulse.model.check import LOCAL
from netpulse.model.time import Millis
from netpulse.storage.raw.bits import Squeezed, length_of, spread, squeeze
from netpulse.storage.raw.row import DUE, PHASES, TEXTS, TOTAL, WIDTH, Row

PLANES, BITS = 1, 2
"""The versions of a blob, by what its columns are."""
SHORT = 256
"""Checks up to which bits take less room than planes."""
_LEVEL = 6
_MEMORY = 9
_CHECKSUM = 4

_CONSTANT = 0x00
_NOTHING = 0x40
"""The tag of a column without any value."""
_NULLS = 0x10
"""Added to the width (1 to 8) of a column where 0 stands for no value."""
_LANE = 4
_WIDEST_LANE = (1 << 24) - 1
"""Five of them and more fit in a lane."""
_SQUEEZED = 0x80
"""The tag of a column in bits (plus `_NULLS`)."""

Column = Sequence[Any]


class BlobDamaged(ValueError):
    """A packed blob cannot be read: damaged, or of a newer version."""


class Block:
    """Checks of one monitor by column, in the order of their keys (due, region, counted)."""

    __slots__ = ("_columns", "_packed", "size")

    def __init__(self, columns: list[Column | None], packed: _Packed | None, size: int) -> None:
        """Take the columns that are known and where the others are read from."""
        self._columns = columns
        self._packed = packed
        self.size = size

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Block:
        """Return the block of `rows`, which are in order, each key once."""
        columns: list[Column | None] = list(zip(*rows, strict=True)) if rows else [()] * WIDTH
        return cls(columns, None, len(rows))

    @classmethod
    def joined(cls, blocks: Sequence[Block]) -> Block:
        """Return one block of several that follow each other without overlapping."""
        columns: list[Column | None] = [
            list(chain.from_iterable(block.column(which) for block in blocks))
            for which in range(WIDTH)
        ]
        return cls(columns, None, sum(block.size for block in blocks))

    def column(self, which: int) -> Column:
        """Return one column; the others are not decoded for it."""
        known = self._columns[which]
        if known is None:
            known = self._decoded(which, 0, self.size)
            self._columns[which] = known
        return known

    def part(self, which: int, start: int, end: int) -> Column:
        """Return a column from place `start` to before `end`; no more of it is decoded."""
        known = self._columns[which]
        if known is None and which == DUE:
            known = self.column(which)  # moments follow from each other
        return self._decoded(which, start, end) if known is None else known[start:end]

    def is_full(self, which: int) -> bool | None:
        """Tell whether every check has a value in a column (True) or none has (False); None where
        some have."""
        if self._packed is not None:
            return self._packed.is_full(which)
        missing = self.column(which).count(None)
        return None if 0 < missing < self.size else not missing

    def _decoded(self, which: int, start: int, end: int) -> Column:
        assert self._packed is not None
        if which != TOTAL:
            return self._packed.column(which, start, end)
        lanes = [self._packed.lanes(each, start, end) for each in (TOTAL, *PHASES)]
        known = [each for each in lanes if each is not None]
        if len(known) == len(lanes) and sum(low for _, low in known) >= 0:
            return _apart(sum(lane for lane, _ in known), end - start)
        rests = self._packed.column(which, start, end)
        return _totals(rests, [self.part(phase, start, end) for phase in PHASES])

    def rows(self, start: int = 0, end: int | None = None) -> list[Row]:
        """Return the rows from place `start` to before `end`."""
        start, end, _ = slice(start, end).indices(self.size)
        return list(zip(*(self.part(which, start, end) for which in range(WIDTH)), strict=True))

    def row(self, place: int) -> Row:
        """Return the row at `place`; no column is decoded for it as a whole."""
        if self._packed is None:
            return self.rows_at((place,))[0]
        packed = self._packed
        cells: list[Any] = [
            known[place]
            if known is not None
            else None
            if which == DUE
            else packed.cell(which, place)
            for which, known in enumerate(self._columns)
        ]
        if self._columns[TOTAL] is None and cells[TOTAL] is not None:
            cells[TOTAL] += sum(cells[phase] or 0 for phase in PHASES)
        cells[DUE] = self.column(DUE)[place]
        return cast(Row, tuple(cells))

    def rows_at(self, places: Sequence[int]) -> list[Row]:
        """Return the rows at `places`, in that order."""
        if isinstance(places, range) and abs(places.step) == 1 and places:
            first, last = sorted((places[0], places[-1]))
            return self.rows(first, last + 1)[:: places.step]
        columns = (self.column(which) for which in range(WIDTH))
        return list(zip(*([column[place] for place in places] for column in columns), strict=True))

    def between(self, start: Millis, end: Millis) -> tuple[int, int]:
        """Return the places of the checks due from `start` to before `end`."""
        due = self.column(DUE)
        return bisect_left(due, start), bisect_left(due, end)


def pack(block: Block) -> bytes:
    """Return `block` as a blob.

    Raises:
        ValueError: there is no check in it, or a number of 63 bits or more.
    """
    if not block.size:
        raise ValueError("nothing to pack")
    texts: dict[str, int] = {LOCAL: 1}
    first = bytearray()
    columns: list[Column] = []
    for which in range(WIDTH):
        values = block.column(which)
        if which == DUE:
            _write_signed(first, values[0])
            values = [after - before for before, after in pairwise(values)]
        elif which == TOTAL:
            values = _rests(block, values)
        elif which in TEXTS:
            values = [
                None if text is None else texts.setdefault(text, len(texts) + 1) for text in values
            ]
        columns.append(values)
    head = bytearray()
    _write(head, block.size)
    _write(head, len(texts) - 1)
    for text in list(texts)[1:]:
        encoded = text.encode("utf-8", "surrogatepass")
        _write(head, len(encoded))
        head += encoded
    head += first
    return _in_bits(head, columns) if block.size <= SHORT else _in_planes(head, columns)


def _in_bits(body: bytearray, columns: Iterable[Column]) -> bytes:
    for values in columns:
        numbers = _write_tag(body, values, _SQUEEZED)
        if numbers is not None:
            squeezed = squeeze(numbers)
            _write(body, squeezed.width)
            _write(body, len(squeezed.larger))
            before = 0
            for place, rest in squeezed.larger:
                _write(body, place - before)
                _write(body, rest)
                before = place
            body += squeezed.data
    return bytes((BITS, *body)) + zlib.crc32(body).to_bytes(_CHECKSUM, "big")


def _in_planes(body: bytearray, columns: Iterable[Column]) -> bytes:
    # Matches of bytes that differ by chance save nothing: runs alone are looked for.
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, _MEMORY, zlib.Z_RLE)
    out = [bytes((PLANES,))]
    for values in columns:
        numbers = _write_tag(body, values, 0)
        if numbers is None:
            continue
        width = _width(max(numbers))
        code, step = _cell(width)
        cells = array(code, numbers)
        if sys.byteorder == "big":
            cells.byteswap()
        data = cells.tobytes()
        out.append(packer.compress(body))
        body.clear()
        for plane in range(width):
            out += (packer.flush(zlib.Z_BLOCK), packer.compress(data[plane::step]))
        out.append(packer.flush(zlib.Z_BLOCK))
    return b"".join((*out, packer.compress(body), packer.flush()))


def unpack(blob: bytes) -> Block:
    """Return the block that `blob` was packed from; columns are decoded when asked for.

    Raises:
        BlobDamaged: `blob` is damaged (it carries a checksum), or of a newer version.
    """
    if not blob or blob[0] not in {PLANES, BITS}:
        raise BlobDamaged(f"unknown version {blob[0] if blob else 'none'} of packed checks")
    try:
        packed = _Packed(_unpacked(blob))
    except (zlib.error, IndexError, UnicodeDecodeError) as error:
        raise BlobDamaged(f"packed checks are damaged: {error}") from error
    return Block([None] * WIDTH, packed, packed.size)


def _unpacked(blob: bytes) -> bytes:
    if blob[0] == PLANES:
        return zlib.decompress(memoryview(blob)[1:])
    body, checksum = blob[1:-_CHECKSUM], blob[-_CHECKSUM:]
    if zlib.crc32(body).to_bytes(_CHECKSUM, "big") != checksum:
        raise zlib.error("the checksum is another")
    return body


class _Packed:
    """A decompressed blob with the places of its columns."""

    __slots__ = ("_columns", "_data", "_first_due", "_texts", "size")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size, at = _read(data, 0)
        count, at = _read(data, at)
        self._texts: list[str | None] = [None, LOCAL]
        for _ in range(count):
            length, at = _read(data, at)
            self._texts.append(data[at : at + length].decode("utf-8", "surrogatepass"))
            at += length
        self._first_due, at = _read_signed(data, at)
        self._columns: list[tuple[int, int, int]] = []
        for which in range(WIDTH):
            tag, at = data[at], at + 1
            base = 0
            if tag != _NOTHING:
                base, at = _read_signed(data, at)
            self._columns.append((tag, base, at))
            if tag & _SQUEEZED:
                _, at = self._squeezed(at, self._length(which))
            else:
                at += (tag & 0x0F) * self._length(which)
        if at != len(data):
            raise IndexError(f"{len(data)} bytes where {at} belong")

    def _length(self, which: int) -> int:
        return self.size - 1 if which == DUE else self.size

    def column(self, which: int, start: int, end: int) -> Column:
        """Return a column from place `start` to before `end` as it is stored: the total less its
        phases. Of the moments all are returned."""
        if which == DUE:
            start, end = 0, self._length(which)
        values = self._numbers(which, start, end)
        if which == DUE:
            return list(accumulate(values, initial=self._first_due))
        if which in TEXTS:
            texts = self._texts
            return [None if value is None else texts[value] for value in values]
        return values

    def cell(self, which: int, place: int) -> Any:
        """Return what `column` has at `place`; not of the moments, which follow from each other."""
        tag, base, at = self._columns[which]
        value: int | None
        if tag == _NOTHING:
            value = None
        elif tag == _CONSTANT:
            value = base
        elif tag & _SQUEEZED:
            value = self._numbers(which, place, place + 1)[0]
        else:
            planes = range(tag & 0x0F)
            number = sum(
                self._data[at + plane * self.size + place] << 8 * plane for plane in planes
            )
            value = number + base
            if tag & _NULLS:
                value = value - 1 if number else None
        return value if which not in TEXTS or value is None else self._texts[value]

    def is_full(self, which: int) -> bool | None:
        """Do as `Block.is_full`."""
        tag, _, _ = self._columns[which]
        if tag == _NOTHING:
            return False
        return None if tag & _NULLS else True

    def lanes(self, which: int, start: int, end: int) -> tuple[int, int] | None:
        """Return a column of numbers, from place `start` to before `end`, as one integer with four
        bytes for each, and the smallest there may be: what is added to such a one is added to all
        of its numbers at once, and once none is negative they can be told apart again. No value is
        0; None is returned where some are missing, or where one may be too large."""
        tag, base, at = self._columns[which]
        ones = _ones(end - start)
        if tag == _NOTHING:
            return None if which == TOTAL else (0, 0)
        if abs(base) > _WIDEST_LANE or tag & _NULLS:
            return None
        if tag == _CONSTANT:
            return base * ones, base
        width = tag & 0x0F
        if tag & _SQUEEZED or width > _WIDEST_LANE.bit_length() // 8:
            return None
        cells = bytearray(_LANE * (end - start))
        for plane in range(width):
            first = at + plane * self.size
            cells[plane::_LANE] = self._data[first + start : first + end]
        return int.from_bytes(cells, "little") + base * ones, base

    def _numbers(self, which: int, start: int, end: int) -> Column:
        tag, base, at = self._columns[which]
        if tag == _NOTHING:
            return [None] * (end - start)
        if tag == _CONSTANT:
            return [base] * (end - start)
        if base >= 0 and end - start > SHORT and which not in TEXTS and which != DUE:
            lanes = self.lanes(which, start, end)
            if lanes is not None:
                return _apart(lanes[0], end - start)
        size = self._length(which)
        numbers: Sequence[int]
        if tag & _SQUEEZED:
            squeezed, _ = self._squeezed(at, size)
            numbers = spread(squeezed, size)[start:end]
        else:
            numbers = self._planes(tag & 0x0F, at, size, start, end)
        if tag & _NULLS:
            base -= 1
            return [number + base if number else None for number in numbers]
        return [number + base for number in numbers]

    def _planes(self, width: int, at: int, size: int, start: int, end: int) -> Sequence[int]:
        code, step = _cell(width)
        cells = bytearray((end - start) * step)
        for plane in range(width):
            first = at + plane * size
            cells[plane::step] = self._data[first + start : first + end]
        numbers = array(code, cells)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers

    def _squeezed(self, at: int, size: int) -> tuple[Squeezed, int]:
        """Return the column in bits that stands at `at`, and where it ends."""
        width, at = _read(self._data, at)
        count, at = _read(self._data, at)
        larger, place = [], 0
        for _ in range(count):
            step, at = _read(self._data, at)
            rest, at = _read(self._data, at)
            place += step
            larger.append((place, rest))
        end = at + length_of(width, size)
        return Squeezed(width, larger, self._data[at:end]), end


def _ones(count: int) -> int:
    """Return a 1 in each of `count` lanes."""
    return int.from_bytes(b"\x01\x00\x00\x00" * count, "little")


def _apart(lanes: int, count: int) -> list[int]:
    """Return the numbers, none negative, that stand in `count` lanes."""
    numbers = array("I", lanes.to_bytes(_LANE * count, "little"))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _totals(rests: Column, phases: Sequence[Column]) -> Column:
    if not any(None in column for column in (rests, *phases)):
        return list(map(sum, zip(rests, *phases, strict=True)))
    return [
        None if rest is None else rest + (a or 0) + (b or 0) + (c or 0) + (d or 0)
        for rest, a, b, c, d in zip(rests, *phases, strict=True)
    ]


def _rests(block: Block, totals: Column) -> list[int | None]:
    phases = zip(*(block.column(phase) for phase in PHASES), strict=True)
    return [
        None if total is None else total - (a or 0) - (b or 0) - (c or 0) - (d or 0)
        for total, (a, b, c, d) in zip(totals, phases, strict=True)
    ]


def _write_tag(out: bytearray, values: Column, kind: int) -> Sequence[int] | None:
    """Write what a column is and its smallest value. Unless that says all of it, return the
    distances from there, which are to follow. `kind` 0: in planes, whose number is in the tag."""
    size = len(values)
    if not size or values.count(values[0]) == size:
        value = values[0] if size else 0
        out.append(_NOTHING if value is None else _CONSTANT)
        if value is not None:
            _write_signed(out, value)
        return None
    nulls = None in values
    present = [value for value in values if value is not None] if nulls else values
    low = min(present)
    if nulls:
        base = low - 1
        numbers: Sequence[int] = [0 if value is None else value - base for value in values]
        width = _width(max(present) - base)
    else:
        numbers = [value - low for value in values]
        width = _width(max(present) - low)
    out.append((kind or width) | (_NULLS if nulls else 0))
    _write_signed(out, low)
    return numbers


def _width(largest: int) -> int:
    width = (largest.bit_length() + 7) // 8
    if width > 8:
        raise ValueError(f"{largest} is too wide to pack")
    return width


def _cell(width: int) -> tuple[str, int]:
    """Return the array code and the bytes of the smallest cell that holds `width` bytes."""
    if width == 1:
        return "B", 1
    if width == 2:
        return "H", 2
    return ("I", 4) if width <= 4 else ("Q", 8)


def _write(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _write_signed(out: bytearray, value: int) -> None:
    _write(out, value << 1 if value >= 0 else (-value << 1) - 1)


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _read_signed(data: bytes, at: int) -> tuple[int, int]:
    value, at = _read(data, at)
    return (value >> 1 if not value & 1 else -((value + 1) >> 1)), at
