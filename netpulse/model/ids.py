"""Identifiers: version 7 UUIDs for what is stored, version 8 for what is computed (RFC 9562)."""

from __future__ import annotations

import hashlib
import secrets
import uuid

from netpulse.model.time import Millis

Id = str
"""A UUID in its canonical lower-case text form."""


def new_id(at: Millis) -> Id:
    """Return a fresh UUIDv7 for the moment `at` (Unix milliseconds), so that ids sort by age."""
    return _version_7(at, secrets.randbits(74))


def derived_id(at: Millis, *parts: str) -> Id:
    """Return the UUIDv7 for the moment `at` that belongs to `parts`: the same again for the same.

    What is made of one cause has such an id, so that it keeps it when the transaction that makes it
    has to be made again.
    """
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=10).digest()
    return _version_7(at, int.from_bytes(digest, "big") >> 6)


def _version_7(at: Millis, random: int) -> Id:
    value = (at & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76
    value |= (random >> 62) << 64
    value |= 0b10 << 62
    value |= random & ((1 << 62) - 1)
    return str(uuid.UUID(int=value))


def check_id(monitor_id: Id, region: str, started_at: Millis) -> Id:
    """Return the UUIDv8 of the check of `monitor_id` from `region` that started at `started_at`.

    A check has no stored id; the same check always computes to the same one.
    """
    return _computed(f"{monitor_id}/{region}/{started_at}")


def public_id(page_id: Id, of: Id) -> Id:
    """Return the UUIDv8 under which a status page tells the world of something.

    The same thing has the same id on one page for ever, another one on every other page, and from
    none of them does anybody learn its own.
    """
    return _computed(f"public/{page_id}/{of}")


def _computed(text: str) -> Id:
    value = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
    value = (value & ~(0xF << 76)) | (0x8 << 76)
    value = (value & ~(0b11 << 62)) | (0b10 << 62)
    return str(uuid.UUID(int=value))


def is_id(text: str) -> bool:
    """Tell whether `text` is a UUID in canonical lower-case form (of whatever version)."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
