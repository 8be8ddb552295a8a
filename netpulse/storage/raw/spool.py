"""What waits to be written to the hot files, kept where the end of the process does not reach it.

A commit writes whole pages twice, to its log and to its file: for the few checks of one second that
is many times their size. Here a second's checks are appended packed, and the hot files get those of
half a minute at once. Then the file is begun anew, in its place: making and deleting one would cost
the file system's own journal more than what it holds.

A record is the number of the round it belongs to, the length of what follows, a checksum (CRC-32)
and a zlib stream of MessagePack: [[key, row], …]. Those of the first one's round count; what stands
behind is of an earlier one. The last may be cut off by a power failure; what it held is lost, as
what had not been written is.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from netpulse.storage.raw.hot_files import Keyed
from netpulse.storage.raw.row import Row

log = logging.getLogger(__name__)

_MAGIC = b"netpulse waiting 1\n"
_HEAD = struct.Struct(">III")
_MOST_ROUNDS = 1 << 30
_LEVEL = 1
"""Half the room of what is not packed, in half the time of the usual level."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, Row]]).decode


class Spool:
    """The file at `path`. Used by one thread."""

    def __init__(self, path: Path) -> None:
        """Take the path."""
        self.path = path
        self._descriptor: int | None = None
        self._end = 0
        self._round = 1

    def read(self) -> list[Keyed]:
        """Return what a process that ended left, as far as it can be read.

        Raises:
            OSError: there is a file, and it cannot be read.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        found: list[Keyed] = []
        at = len(_MAGIC)
        if data[:at] != _MAGIC:
            log.warning("%s is not what NetPulse wrote: it is left out", self.path.name)
            at = len(data)
        own = data[at : at + 4]
        while at + _HEAD.size <= len(data) and data[at : at + 4] == own:
            number, length, checksum = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            packed = data[at : at + length]
            if not number:
                break
            try:
                if _checksum(number, packed) != checksum:
                    raise ValueError("cut off, or damaged")
                found += _decode(zlib.decompress(packed))
            except (zlib.error, ValueError, msgspec.MsgspecError) as error:
                log.warning("%s: the last results in it are lost: %s", self.path.name, error)
                break
            at += length
        return found

    def append(self, rows: Sequence[Keyed]) -> None:
        """Add rows; when this returns they survive the end of the process.

        Raises:
            OSError: the disk did not take them; what was there before is unharmed.
        """
        packed = zlib.compress(_encode(rows), _LEVEL)
        number = self._round
        if self._descriptor is None:
            self._descriptor = os.open(
                self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
            )
        if not self._end:
            # Again where the disk did not take it the first time: without it nothing is read.
            self._write(_MAGIC, 0)
            self._end = len(_MAGIC)
        record = _HEAD.pack(number, len(packed), _checksum(number, packed)) + packed
        self._write(record, self._end)
        self._end += len(record)

    def clear(self) -> None:
        """Begin anew: all that it held is in the hot files.

        Raises:
            OSError: the disk did not take it; it is all there still.
        """
        if self._descriptor is None:
            self.path.unlink(missing_ok=True)
        elif self._end > len(_MAGIC):
            self._write(bytes(_HEAD.size), len(_MAGIC))
            self._end = len(_MAGIC)
            self._round = self._round % _MOST_ROUNDS + 1

    def close(self) -> None:
        """Close the file; it stays for the next start where something is in it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            if self._end <= len(_MAGIC):
                try:
                    self.path.unlink(missing_ok=True)
                except OSError as error:
                    log.warning("%s stays, with nothing in it: %s", self.path.name, error)

    def _write(self, data: bytes, at: int) -> None:
        assert self._descriptor is not None
        written = os.pwrite(self._descriptor, data, at)
        if written < len(data):
            raise OSError(f"{written} of {len(data)} bytes were taken")


def _checksum(number: int, packed: bytes) -> int:
    return zlib.crc32(packed, number)
