"""The evidence table: every behaviour of our hostile host has its verdict, and its document."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvloop

from netpulse.egress.connect import Egress
from netpulse.model.check import Failure
from tests.hostile import document, http
from tests.hostile.rows import Row
from tests.hostile.table import CHAPTERS, ROWS
from tests.probing import check


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress()
    yield egress
    await egress.close()


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.kind}: {row.name}" for row in ROWS])
async def test_verdicts(egress: Egress, row: Row) -> None:
    async with row.serve() as target:
        seen = await check(egress, target, row.kind, **row.fields)
    assert (seen.said, seen.verdict.detail) == (row.said, row.detail), seen.message
    assert bool(seen.message) is (seen.said != "up")
    timeout = row.fields.get("timeout_seconds", 5)
    assert seen.seconds < timeout + 0.5


def test_http_verdicts_are_the_same_on_uvloop() -> None:
    async def all_of_them() -> list[tuple[str, str, str]]:
        egress = Egress()
        wrong = []
        for row in (row for chapter in http.CHAPTERS for row in chapter.rows):
            async with row.serve() as target:
                seen = await check(egress, target, row.kind, **row.fields)
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
