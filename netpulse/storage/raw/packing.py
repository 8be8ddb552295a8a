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
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from netpulse.model.check import LOCAL
from netpulse.storage.raw import varints
from netpulse.storage.raw.bits import squeeze
from netpulse.storage.raw.block import Block, no_pause
from netpulse.storage.raw.packed import (
    CONSTANT,
    NOTHING,
    NULLS,
    SHORT,
    SQUEEZED,
    Column,
    Packed,
    cell,
)
from netpulse.storage.raw.row import DUE, PHASES, TEXTS, TOTAL, WIDTH

PLANES, BITS = 1, 2
"""The versions of a blob, by what its columns are."""
_LEVEL = 6
_MEMORY = 9
_CHECKSUM = 4


class BlobDamaged(ValueError):
    """A packed blob cannot be read: damaged, or of a newer version."""


def pack(block: Block, pause: Callable[[], None] = no_pause) -> bytes:
    """Return `block` as a blob; `pause` is called amid the work, after each column.

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
            varints.write_signed(first, values[0])
            values = [after - before for before, after in pairwise(values)]
        elif which == TOTAL:
            values = _rests(block, values)
        elif which in TEXTS:
            values = [
                None if text is None else texts.setdefault(text, len(texts) + 1) for text in values
            ]
        columns.append(values)
        pause()
    head = bytearray()
    varints.write(head, block.size)
    varints.write(head, len(texts) - 1)
    for text in list(texts)[1:]:
        encoded = text.encode("utf-8", "surrogatepass")
        varints.write(head, len(encoded))
        head += encoded
    head += first
    if block.size <= SHORT:
        return _in_bits(head, columns, pause)
    return _in_planes(head, columns, pause)


def _in_bits(body: bytearray, columns: Iterable[Column], pause: Callable[[], None]) -> bytes:
    for values in columns:
        pause()
        numbers = _write_tag(body, values, SQUEEZED)
        if numbers is not None:
            squeezed = squeeze(numbers)
            varints.write(body, squeezed.width)
            varints.write(body, len(squeezed.larger))
            before = 0
            for place, rest in squeezed.larger:
                varints.write(body, place - before)
                varints.write(body, rest)
                before = place
            body += squeezed.data
    return bytes((BITS, *body)) + zlib.crc32(body).to_bytes(_CHECKSUM, "big")


def _in_planes(body: bytearray, columns: Iterable[Column], pause: Callable[[], None]) -> bytes:
    # Matches of bytes that differ by chance save nothing: runs alone are looked for.
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, _MEMORY, zlib.Z_RLE)
    out = [bytes((PLANES,))]
    for values in columns:
        pause()
        numbers = _write_tag(body, values, 0)
        if numbers is None:
            continue
        width = _width(max(numbers))
        code, step = cell(width)
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
        packed = Packed(_unpacked(blob))
    except (zlib.error, IndexError, UnicodeDecodeError) as error:
        raise BlobDamaged(f"packed checks are damaged: {error}") from error
    return Block.read_from(packed)


def _unpacked(blob: bytes) -> bytes:
    if blob[0] == PLANES:
        return zlib.decompress(memoryview(blob)[1:])
    body, checksum = blob[1:-_CHECKSUM], blob[-_CHECKSUM:]
    if zlib.crc32(body).to_bytes(_CHECKSUM, "big") != checksum:
        raise zlib.error("the checksum is another")
    return body


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
        out.append(NOTHING if value is None else CONSTANT)
        if value is not None:
            varints.write_signed(out, value)
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
    out.append((kind or width) | (NULLS if nulls else 0))
    varints.write_signed(out, low)
    return numbers


def _width(largest: int) -> int:
    width = (largest.bit_length() + 7) // 8
    if width > 8:
        raise ValueError(f"{largest} is too wide to pack")
    return width
