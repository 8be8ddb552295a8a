"""DNS answers of the usual shape, read without dnspython: most of what a check of one would cost.

The usual shape is an answer to the question as it was asked, without an error, whose records are
all A or all AAAA of the name itself, and beside which there is at most an EDNS record that says
nothing. Whatever differs in a bit that has a meaning is not usual, and dnspython reads it: so this
says of no message anything else than `messages` does.
"""

from __future__ import annotations

import functools
import socket

import dns.ipv6

from netpulse.probes.messages import HEAD_BYTES as _HEAD
from netpulse.probes.messages import Question

MOST_BYTES = 4096
"""Of a message: what is longer takes longer than the loop has, and is read in a thread."""
_FLAGS_THAT_MUST_BE = 0x8000
"""It is an answer (QR), to a plain query, whole, without an error; the bit that must be zero is."""
_FLAGS_THAT_MATTER = 0xFA4F
_COUNTS_WITHOUT_EDNS, _COUNTS_WITH_EDNS = b"\0\0\0\0", b"\0\0\0\1"
"""Of the authorities and the additional records."""
_EDNS = b"\0\0\x29"
_EDNS_BYTES = 11
_STARTS = {
    # The owner points to the question's name; the type; the class IN.
    "A": (b"\xc0\x0c\0\x01\0\x01", b"\0\x04", 16),
    "AAAA": (b"\xc0\x0c\0\x1c\0\x01", b"\0\x10", 28),
}


def records(asked: Question, wire: bytes) -> tuple[str, ...] | None:
    """Return the records of an answer, as `messages.found` spells them; None if it is not usual.

    Its id was compared already.
    """
    written = asked.written
    shape = _STARTS.get(written.record_type)
    question = written.section
    at = _HEAD + len(question)
    if (
        shape is None
        or len(wire) > MOST_BYTES
        or int.from_bytes(wire[2:4], "big") & _FLAGS_THAT_MATTER != _FLAGS_THAT_MUST_BE
        or wire[4:6] != b"\0\1"
        or wire[_HEAD:at] != question
    ):
        return None
    start, size, step = shape
    end = at + step * int.from_bytes(wire[6:8], "big")
    if wire[8:_HEAD] == _COUNTS_WITH_EDNS:
        # The rest of its code, its version and its options: all of them nothing.
        edns = wire[end:]
        if len(edns) != _EDNS_BYTES or edns[:3] != _EDNS or edns[5:7] != b"\0\0" or any(edns[9:]):
            return None
    elif wire[8:_HEAD] != _COUNTS_WITHOUT_EDNS or len(wire) != end:
        return None
    found: dict[str, None] = {}
    while at < end:
        if wire[at : at + 6] != start or wire[at + 10 : at + 12] != size:
            return None
        # The same record twice is one (RFC 2181, 5).
        found[_text(wire[at + 12 : at + step])] = None
        at += step
    return tuple(found) or None


@functools.lru_cache(maxsize=4096)
def _text(address: bytes) -> str:
    if len(address) == 4:
        return socket.inet_ntoa(address)
    return str(dns.ipv6.inet_ntoa(address))
