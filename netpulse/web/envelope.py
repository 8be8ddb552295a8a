"""The envelope of every answer under /v1, streams and exports excepted."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

T = TypeVar("T")

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


class Meta(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where in a list an answer stands."""

    page: int | UnsetType = UNSET
    limit: int
    total: int | UnsetType = UNSET
    next_cursor: str | UnsetType | None = UNSET
    """Give it as `cursor` to get the rows after these; null at the end."""


class One(Struct, Generic[T], frozen=True):
    """One thing."""

    success: bool
    data: T

    @classmethod
    def of(cls, data: T) -> One[T]:
        """Return the envelope of `data`."""
        return cls(True, data)


class Many(Struct, Generic[T], frozen=True):
    """A page of things."""

    success: bool
    data: list[T]
    meta: Meta

    @classmethod
    def of(cls, rows: list[T], meta: Meta) -> Many[T]:
        """Return the envelope of `rows`."""
        return cls(True, rows, meta)


_encoder = msgspec.json.Encoder()


def encoded(envelope: One[Any] | Many[Any]) -> bytes:
    """Return an envelope as it is sent."""
    return _encoder.encode(envelope)


NOTHING: One[Any] = One.of(None)
"""What DELETE answers."""


def page_of(rows: list[T], *, page: int, limit: int, total: int) -> Many[T]:
    """Return the envelope of page number `page` (from 1) with `limit` rows a page."""
    return Many.of(rows, Meta(page=page, limit=limit, total=total))
