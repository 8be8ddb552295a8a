"""The evidence table: every behaviour of our hostile host has its verdict, and its document."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar

import pytest
import uvloop

from netpulse.egress import attempt
from netpulse.egress.connect import Egress
from netpulse.model.check import Failure
from netpulse.probes import secure, usual
from netpulse.probes.handshakes import Handshakes
from tests.hostile import dns, document, http, icmp, streams, tcp, tls
from tests.hostile.rows import Chapter, Place, Row
from tests.hostile.table import CHAPTERS, ROWS
from tests.probing import Seen, check, light_check, ping_alone, undisturbed

LIGHT = {"tcp", "dns"}
"""The types whose checks may be begun without a task."""


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress()
    yield egress
    await egress.close()


async def see(row: Row, place: Place, egress: Egress) -> Seen:
    """Check what a row has brought up."""
    fields = {**row.fields, **place.fields}
    return await check(place.egress or egress, place.target, row.kind, row.seconds, **fields)


T = TypeVar("T")


async def looked_at(row: Row, look: Callable[[Place], Awaitable[T]]) -> tuple[Place, T]:
    """Return where a row was up, and what was seen of it by a loop that was in time."""
    found: list[tuple[Place, T]] = []
    for one in undisturbed():
        async with row.up() as place:
            with one:
                seen = await look(place)
        if isinstance(seen, Seen):
            # A thread of ours that was late is no better than a loop that was.
            one.late = max(one.late, seen.reading.own_ms / 1000)
        found.append((place, seen))
    return found[-1]


async def try_out(row: Row, egress: Egress) -> None:
    """Check what a row brings up, and hold what was seen against it."""
    place, seen = await looked_at(row, lambda place: see(row, place, egress))
    hold(row, place, seen)


def hold(row: Row, place: Place, seen: Seen) -> None:
    """Hold what was seen against the row."""
    assert (seen.said, seen.verdict.detail) == (row.said, row.detail), seen.message
    assert bool(seen.message) is (seen.said != "up")
    assert row.words.replace("{at}", place.at) in seen.message
    assert seen.reading.certificate is not None or not row.shows_certificate
    assert seen.seconds < (row.seconds or row.fields.get("timeout_seconds", 5)) + 0.5


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.kind}: {row.name}" for row in ROWS])
async def test_verdicts(egress: Egress, row: Row) -> None:
    if reason := row.missing():
        pytest.skip(reason)
    await try_out(row, egress)


async def hold_all(chapters: Iterable[Chapter], egress: Egress, at_once: int) -> None:
    """Hold every row of these chapters, some at a time."""
    rows = [row for chapter in chapters for row in chapter.rows if not row.missing()]
    assert rows

    for start in range(0, len(rows), at_once):
        await asyncio.gather(*(try_out(row, egress) for row in rows[start : start + at_once]))


async def test_tls_is_judged_alike_where_a_thread_shakes_hands(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a loop that is always busy, on a machine with cores to spare."""
    helpers = Handshakes()
    helpers.free = 4
    shaken = 0
    by_thread = helpers.step

    async def counted(tls: ssl.SSLObject, ours: Callable[[float], None]) -> bool:
        nonlocal shaken
        shaken += 1
        return await by_thread(tls, ours)

    monkeypatch.setattr(helpers, "step", counted)
    monkeypatch.setattr(secure, "HANDSHAKES", helpers)
    monkeypatch.setattr(secure, "BUSY_SECONDS", -1.0)
    await hold_all(tls.CHAPTERS, egress, 1)
    assert shaken
    assert helpers.free == 4


async def test_name_servers_are_judged_alike_without_the_quick_reading(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read in one way and what in the other makes no difference to any verdict."""
    monkeypatch.setattr(usual, "records", lambda asked, wire: None)
    await hold_all(dns.CHAPTERS, egress, 8)


async def test_connections_are_judged_alike_where_none_stands_at_once(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network, where a connection takes its time."""
    monkeypatch.setattr(attempt, "LOOK_AGAIN", None)
    await hold_all((*tcp.CHAPTERS, *streams.CHAPTERS, *http.CHAPTERS), egress, 8)


async def begin(row: Row, egress: Egress, place: Place) -> Seen | None:
    """Check what a row has brought up, begun without a task."""
    fields = {**row.fields, **place.fields}
    return await light_check(place.egress or egress, place.target, row.kind, row.seconds, **fields)


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "waits"])
async def test_checks_begun_without_a_task_are_judged_alike(
    egress: Egress, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """As the engine begins them; what is not simply good goes on in a task."""
    if waits:
        monkeypatch.setattr(attempt, "LOOK_AGAIN", None)
    begun: set[str] = set()
    for row in [row for chapter in CHAPTERS for row in chapter.rows if row.kind in LIGHT]:
        if row.missing():
            continue
        place, seen = await looked_at(row, partial(begin, row, egress))
        if seen is not None:
            hold(row, place, seen)
            begun.add(row.kind)
    assert begun == LIGHT


FAR = [row for chapter in icmp.CHAPTERS for row in chapter.rows]


@pytest.mark.parametrize("row", FAR, ids=[row.name for row in FAR])
async def test_pings_over_a_raw_socket(egress: Egress, row: Row) -> None:
    """Where not everybody may ping, but NetPulse may open a raw socket, nothing changes."""
    if reason := row.missing():
        pytest.skip(reason)

    async def raw(place: Place) -> Seen:
        async with icmp.raw_only():
            return await see(row, place, egress)

    place, seen = await looked_at(row, raw)
    hold(row, place, seen)


BY_PROBE = {
    "this host lets nobody ping",
    "this host has no IPv6 route",
    "multicast",
    "cloud metadata",
    "link-local",
}
"""What is not even sent, or cannot be: a ping without a task leaves that to the probe."""
ONCE = [
    row
    for row in FAR
    # One ping of those that are answered differently would only be the first of them.
    if not row.name.startswith(("loses", "unreachable once"))
    and row.name != "nobody has the address"
]


@pytest.mark.parametrize("raw", [False, True], ids=["datagram", "raw"])
@pytest.mark.parametrize("row", ONCE, ids=[row.name for row in ONCE])
async def test_one_ping_is_judged_alike_without_a_task(egress: Egress, row: Row, raw: bool) -> None:
    """As the engine does it where a check is no more than that."""
    if reason := row.missing():
        pytest.skip(reason)
    fields = {**row.fields, "packets": 1}

    async def both(place: Place) -> tuple[Seen | None, Seen]:
        async with icmp.raw_only() if raw else contextlib.nullcontext():
            return await asyncio.gather(
                ping_alone(egress, place.target, 0.4, **fields),
                check(egress, place.target, "icmp", 0.4, **fields),
            )

    _, (alone, tasked) = await looked_at(row, both)
    if row.name in BY_PROBE:
        assert alone is None
    else:
        assert alone is not None
        assert alone.verdict == tasked.verdict
        assert (alone.said, alone.verdict.detail) == (row.said, row.detail)
        assert alone.reading.address == tasked.reading.address
        assert alone.reading.addresses == tasked.reading.addresses
        assert alone.reading.loss_percent == tasked.reading.loss_percent
        assert alone.seconds < 0.7


def test_verdicts_are_the_same_on_uvloop() -> None:
    async def all_of_them() -> list[tuple[str, str, str]]:
        egress = Egress()
        wrong = []
        for row in (row for chapter in (*http.CHAPTERS, *tls.CHAPTERS) for row in chapter.rows):
            _, seen = await looked_at(row, partial(see, row, egress=egress))
            if seen.said != row.said:
                wrong.append((row.name, row.said, seen.said))
        await egress.close()
        return wrong

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(all_of_them()) == []


def test_the_table_is_wide_enough() -> None:
    assert len(ROWS) >= 80
    assert len({(row.kind, row.name) for row in ROWS}) == len(ROWS)
    words = {failure.value for failure in Failure}
    assert {row.failure for row in ROWS} - {""} <= words
    assert all(chapter.rows for chapter in CHAPTERS)


def test_the_document_is_current() -> None:
    written = document.PLACE.read_text(encoding="utf-8")
    assert written == document.text(), "run: python -m tests.hostile.document"
