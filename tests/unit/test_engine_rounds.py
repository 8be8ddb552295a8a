"""Rounds go on whatever a turn meets, and begin the next one when woken."""

from __future__ import annotations

import asyncio

import pytest

from netpulse.engine import rounds
from netpulse.engine.rounds import Rounds
from netpulse.storage.errors import StorageTrouble, TroubleKind


async def test_it_goes_on_through_trouble_and_mistakes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rounds, "TROUBLE_SECONDS", 0.001)
    met: list[Exception | None] = [
        StorageTrouble(TroubleKind.FULL),
        StorageTrouble(TroubleKind.FULL),
        ValueError("a mistake"),
        None,
    ]
    done = asyncio.Event()

    async def turn() -> None:
        found = met.pop(0)
        if found is not None:
            raise found
        done.set()

    running = Rounds(turn, name="letters")
    running.start()
    async with asyncio.timeout(10):
        await done.wait()
    await running.stop()
    said = [record.getMessage() for record in caplog.records if record.name == rounds.__name__]
    assert said == [
        "letters: waiting: the disk is full: free some space",
        "letters: stumbled; it goes on",
    ]


async def test_it_is_woken_also_in_the_middle_of_a_turn() -> None:
    turns = 0
    thrice = asyncio.Event()

    async def turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 2:
            running.wake()
        if turns == 3:
            thrice.set()

    running = Rounds(turn, name="letters")
    running.start()
    await asyncio.sleep(0)
    running.wake()
    async with asyncio.timeout(10):
        await thrice.wait()
    await running.stop()
    assert turns == 3
