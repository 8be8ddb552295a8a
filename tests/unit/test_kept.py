"""Figures that take long to add up: made once at a time, and renewed behind the reader's back."""

from __future__ import annotations

import asyncio

import pytest

from netpulse.web import kept
from netpulse.web.kept import Kept


class Maker:
    """Makes 1, 2, 3, …: each when it is told to."""

    def __init__(self) -> None:
        self.made = 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> int:
        await self.go.wait()
        self.made += 1
        return self.made


async def test_quick_ones_are_fresh_at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT_FOR", 0)
    figures, make = Kept(), Maker()
    assert [await figures.get("acme", make) for _ in range(3)] == [1, 2, 3]
    assert await figures.get("globex", make) == 4


async def test_slow_ones_are_shown_as_they_were_while_new_ones_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept, "KEPT_FOR", 0)
    monkeypatch.setattr(kept, "QUICK_SECONDS", -1.0)
    figures, make = Kept(), Maker()
    assert await figures.get("acme", make) == 1
    make.go.clear()
    # Nobody waits, and however many ask, they are made once.
    assert [await figures.get("acme", make) for _ in range(3)] == [1, 1, 1]
    make.go.set()
    # The one who makes them is let go, makes them, and puts them down.
    for _ in range(4):
        await asyncio.sleep(0)
    assert await figures.get("acme", make) == 2


async def test_what_is_very_old_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT_FOR", 0)
    monkeypatch.setattr(kept, "QUICK_SECONDS", -1.0)
    monkeypatch.setattr(kept, "OLD_SECONDS", -1.0)
    figures, make = Kept(), Maker()
    assert [await figures.get("acme", make) for _ in range(2)] == [1, 2]


async def test_who_asks_first_together_waits_together() -> None:
    figures, make = Kept(), Maker()
    make.go.clear()
    waiting = [asyncio.ensure_future(figures.get("acme", make)) for _ in range(3)]
    await asyncio.sleep(0)
    # One of them leaves; the others get theirs all the same.
    waiting[0].cancel()
    make.go.set()
    assert await asyncio.gather(*waiting[1:]) == [1, 1]


async def test_trouble_goes_to_those_who_wait_and_is_not_kept() -> None:
    figures, make = Kept(), Maker()

    async def broken() -> int:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await figures.get("acme", broken)
    assert await figures.get("acme", make) == 1


async def test_there_is_an_end_to_what_is_kept() -> None:
    figures, make = Kept(), Maker()
    for number in range(kept.MOST + 1):
        await figures.get(number, make)
    assert len(figures._entries) <= kept.MOST
