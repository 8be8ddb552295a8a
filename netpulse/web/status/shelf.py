"""The shelf: boards of status pages, and what was rendered of them, as bytes ready to be sent.

A thousand readers a second cost one look into a dictionary each. What a page says is read anew
when something of its organization has changed, when time alone changes it, and once a minute; at
most once a second while everything changes at once. What people change by hand counts at the very
next request.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping

from msgspec import Struct

from netpulse.engine.clock import Clock
from netpulse.model.board import Board
from netpulse.model.ids import Id
from netpulse.model.status_page import StatusPage
from netpulse.model.time import MINUTE, SECOND, Millis
from netpulse.storage import boards, status_page_domains
from netpulse.storage.boards import Kept, Read
from netpulse.storage.db import Conn, Database
from netpulse.storage.errors import StorageTrouble

MOST_PAGES = 200
MOST_SERVICES = 2_000
MOST_BYTES = 32 * 1024 * 1024
"""What is kept; what nobody asked for longest goes first."""
MOST_RENDERED = 64
"""Of one page: its formats, and the badges of its services."""
BUILD_SECONDS = 1.0
"""How old a board may be while its organization keeps changing."""
FRESH_FOR: Millis = MINUTE
_WORTH_PACKING = 1_000


class Rendered(Struct, frozen=True):
    """One answer, ready to be sent."""

    media_type: str
    body: bytes
    packed: bytes | None
    """gzip, where that is smaller."""
    tag: str
    """Its entity tag. Weak: it is the same whether packed or not."""

    @property
    def size(self) -> int:
        """How many bytes it keeps."""
        return len(self.body) + len(self.packed or b"")


def rendered(media_type: str, text: str | bytes, *, pack: bool = True) -> Rendered:
    """Return a text as an answer. Packing 100 kB takes milliseconds: not on the event loop."""
    body = text.encode() if isinstance(text, str) else text
    packed = None
    if pack and len(body) > _WORTH_PACKING:
        packed = gzip.compress(body, 6, mtime=0)
    if packed is not None and len(packed) >= len(body):
        packed = None
    return Rendered(media_type, body, packed, f'W/"{hashlib.sha256(body).hexdigest()[:20]}"')


class Shown:
    """A page on the shelf: what it says at one moment, and what was rendered of that."""

    __slots__ = (
        "_rendered",
        "_rendering",
        "at",
        "board",
        "built",
        "digest",
        "fresh_until",
        "kept",
        "page",
        "size",
        "turn",
        "updated_at",
    )

    def __init__(self, read: Read, *, turn: int, built: float, now: Millis, digest: bytes) -> None:
        self.page: StatusPage = read.page
        self.board: Board = read.board
        self.kept: Mapping[Id, Kept] = read.kept
        self.at = now
        self.turn = turn
        """How often its organization had changed when it was read."""
        self.built = built
        """On the monotonic clock."""
        self.fresh_until = min(read.board.changes_at, now + FRESH_FOR)
        self.digest = digest
        """Of what it says."""
        self.updated_at = now
        """When it began to say this, as far as this process has seen."""
        self.size = 0
        self._rendered: OrderedDict[str, Rendered] = OrderedDict()
        self._rendering: dict[str, asyncio.Task[Rendered]] = {}

    async def rendered(
        self, name: str, render: Callable[[Shown], Rendered], turns: asyncio.Lock
    ) -> Rendered:
        """Return what `render` makes of it, made once; `name` says in which form."""
        found = self._rendered.get(name)
        if found is not None:
            return found
        task = self._rendering.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._render(name, render, turns))
            self._rendering[name] = task
        return await asyncio.shield(task)

    async def _render(
        self, name: str, render: Callable[[Shown], Rendered], turns: asyncio.Lock
    ) -> Rendered:
        try:
            # In a thread, one at a time: the loop has checks to make.
            async with turns:
                made = await asyncio.to_thread(render, self)
        finally:
            del self._rendering[name]
        self._rendered[name] = made
        self.size += made.size
        if len(self._rendered) > MOST_RENDERED:
            self.size -= self._rendered.popitem(last=False)[1].size
        return made


class Shelf:
    """What is kept of all status pages. One a process."""

    def __init__(self) -> None:
        """Start empty; `open` before use."""
        self._db: Database
        self._clock: Clock
        self._on_edit: Callable[[Id], None]
        self._pages: OrderedDict[str, Shown] = OrderedDict()
        self._slugs: dict[Id, set[str]] = {}
        """By organization."""
        self._turns: dict[Id, int] = {}
        """By organization: how often it has changed."""
        self._edits = 0
        """How often people changed something."""
        self._reading: dict[str, tuple[int, asyncio.Task[Shown | None]]] = {}
        self._domains: dict[str, tuple[str, bool]] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._rendering = asyncio.Lock()
        self.reads = 0
        """How often a board was read."""

    def open(self, db: Database, clock: Clock, on_edit: Callable[[Id], None]) -> None:
        """Take the parts; `on_edit` hears of every organization of which people changed something
        that pages tell."""
        self._db = db
        self._clock = clock
        self._on_edit = on_edit

    # What changes

    def stirred(self, org_id: Id) -> None:
        """Something of an organization has changed by itself: look again within a second."""
        self._turns[org_id] = self._turns.get(org_id, 0) + 1

    def edited(self, org_id: Id) -> None:
        """Somebody has changed something of an organization: the next request shows it."""
        self._edits += 1
        self.stirred(org_id)
        for slug in self._slugs.get(org_id, ()):
            shown = self._pages.get(slug)
            if shown is not None:
                shown.fresh_until = 0
        self._on_edit(org_id)

    def domains_edited(self) -> None:
        """Somebody has changed a page's address or domain, or it was proved."""
        self._domains = None
        self._loading = asyncio.get_running_loop().create_task(self._load_domains())
        # Whoever asks for one hears of a failure, and tries again.
        self._loading.add_done_callback(lambda task: task.cancelled() or task.exception())

    # What is asked for

    async def look(self, slug: str) -> Shown | None:
        """Return the page with this address, as it is now; None if there is none.

        Raises:
            StorageTrouble: it cannot be read, and nothing of it is kept.
        """
        shown = self._pages.get(slug)
        if shown is not None and self._is_fresh(shown):
            self._pages.move_to_end(slug)
            return shown
        asked = self._edits
        while True:
            reading = self._reading.get(slug)
            if reading is None:
                task = asyncio.get_running_loop().create_task(self._read(slug, shown))
                reading = self._reading[slug] = (self._edits, task)
            edits, task = reading
            shown = await asyncio.shield(task)
            if edits >= asked:
                return shown
            # It began before somebody's change, and may have missed it.

    async def render(
        self, shown: Shown, name: str, render: Callable[[Shown], Rendered]
    ) -> Rendered:
        """Return a page in one form; `name` is that form's."""
        made = await shown.rendered(name, render, self._rendering)
        self._fit()
        return made

    def _is_fresh(self, shown: Shown) -> bool:
        if self._clock.now() >= shown.fresh_until:
            return False
        if shown.turn == self._turns.get(shown.page.org_id, 0):
            return True
        return self._clock.monotonic() - shown.built < BUILD_SECONDS

    async def _read(self, slug: str, old: Shown | None) -> Shown | None:
        now, built = self._clock.now(), self._clock.monotonic()
        turns, edits = dict(self._turns), self._edits
        self.reads += 1
        try:
            found = await self._db.read(_read, slug, now, {} if old is None else old.kept)
        except StorageTrouble:
            if old is None:
                raise
            # What was true a moment ago is better than nothing.
            old.built, old.fresh_until = built, now + SECOND
            return old
        finally:
            del self._reading[slug]
        self._drop(slug)
        if found is None:
            return None
        read, digest = found
        org_id = read.page.org_id
        shown = Shown(read, turn=turns.get(org_id, 0), built=built, now=now, digest=digest)
        if old is not None and old.digest == digest:
            shown.updated_at = old.updated_at
        if edits != self._edits:
            shown.fresh_until = 0
        self._pages[slug] = shown
        self._slugs.setdefault(org_id, set()).add(slug)
        self._fit()
        return shown

    def _drop(self, slug: str) -> None:
        shown = self._pages.pop(slug, None)
        if shown is not None:
            slugs = self._slugs.get(shown.page.org_id, set())
            slugs.discard(slug)
            if not slugs:
                self._slugs.pop(shown.page.org_id, None)

    def _fit(self) -> None:
        """Let go of what was not asked for longest, but never of the last."""
        services = sum(len(shown.kept) for shown in self._pages.values())
        size = sum(shown.size for shown in self._pages.values())
        while len(self._pages) > 1 and (
            len(self._pages) > MOST_PAGES or services > MOST_SERVICES or size > MOST_BYTES
        ):
            slug, shown = next(iter(self._pages.items()))
            services -= len(shown.kept)
            size -= shown.size
            self._drop(slug)

    # Domains

    async def domain(self, name: str) -> tuple[str, bool] | None:
        """Return the slug of the page that has this domain, and whether that is proved; None if
        none has it."""
        while self._domains is None:
            if self._loading is None or self._loading.done():
                self.domains_edited()
            assert self._loading is not None, "it was just begun"
            await asyncio.shield(self._loading)
        return self._domains.get(name)

    async def _load_domains(self) -> None:
        found = await self._db.read(status_page_domains.claims)
        if self._loading is asyncio.current_task():  # else there is a later change
            self._domains = {
                claim.domain.name: (claim.slug, claim.domain.verified_at is not None)
                for claim in found
            }


def _read(conn: Conn, slug: str, now: Millis, kept: Mapping[Id, Kept]) -> tuple[Read, bytes] | None:
    """Return a page with its board, and a digest of what it says; None if there is none."""
    read = boards.read(conn, slug, now, kept)
    return None if read is None else (read, _digest(read))


def _digest(read: Read) -> bytes:
    """Return a digest of what a page says, leaving out what time alone makes grow."""
    page, board = read.page, read.board
    said = (
        page.title,
        page.text,
        board.status,
        [
            (one.id, one.name, one.status, one.since, one.uptime_percent, one.response_time_ms)
            for one in board.services
        ],
        [group.name for group in board.groups],
        board.incidents,
        board.maintenance,
        board.announcements,
    )
    return hashlib.sha256(repr(said).encode()).digest()
