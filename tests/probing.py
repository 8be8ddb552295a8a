"""Checks for tests: a probe against a real server, and what the rules make of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from netpulse.egress.connect import Egress
from netpulse.egress.icmp_line import Lone
from netpulse.model.check import Reading, Verdict
from netpulse.model.monitor import TYPES, IcmpSpec, type_of
from netpulse.probes import BEGINNINGS, PROBES, icmp
from netpulse.rules.verdict import judge

TICK_SECONDS = 0.01
LATE_SECONDS = 0.1
MOST_TRIES = 10


class Try:
    """Use as a context manager: it sees how late the running loop is meanwhile."""

    def __init__(self) -> None:
        """See nothing yet."""
        self.late = 0.0
        """By how many seconds it was late at worst."""

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.cancel()
        self._look()

    def _wait(self) -> None:
        self._due = self._loop.time() + TICK_SECONDS
        self._handle = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._look()
        self._wait()

    def _look(self) -> None:
        self.late = max(self.late, self._loop.time() - self._due)


def undisturbed() -> Iterator[Try]:
    """Give tries until there was one in which the loop was in time.

        for one in undisturbed():
            with one:
                seen = await check(...)
        assert seen ...

    A machine that stalls moves every moment that a test measures, and what comes within a timeout;
    the engine trusts no such check either, and does it again. Whether what was seen is right has no
    part in it, and who makes the loop late each time is judged by the last try.
    """
    for _ in range(MOST_TRIES):
        one = Try()
        yield one
        if one.late < LATE_SECONDS:
            return


@dataclass
class Seen:
    """What a check saw."""

    reading: Reading
    verdict: Verdict
    seconds: float

    @property
    def said(self) -> str:
        """Result and failure word, as tables have them: "up", "down timeout"."""
        failure = self.verdict.failure
        return f"{self.verdict.result} {failure}" if failure else str(self.verdict.result)

    @property
    def message(self) -> str:
        """The sentence for the person, "" when there is none."""
        return self.verdict.message or ""


async def check(
    egress: Egress, target: str, kind: str = "http", seconds: float | None = None, **fields: Any
) -> Seen:
    """Probe `target` once and judge. `seconds` shortens the deadline below the timeout."""
    fields.setdefault("timeout_seconds", 5)
    spec = TYPES[kind](name="test", target=target, **fields)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    deadline = loop.time() + (spec.timeout_seconds if seconds is None else seconds)
    reading = await PROBES[type_of(spec)](spec, deadline, egress)
    took = time.perf_counter() - began
    return Seen(reading, judge(spec, reading, now=int(time.time() * 1000)), took)


async def light_check(
    egress: Egress, target: str, kind: str, seconds: float | None = None, **fields: Any
) -> Seen | None:
    """Check as `check` does, but begin without a task, as the engine does; None where it cannot."""
    fields.setdefault("timeout_seconds", 5)
    spec = TYPES[kind](name="test", target=target, **fields)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    deadline = loop.time() + (spec.timeout_seconds if seconds is None else seconds)
    begun = BEGINNINGS[type(spec)](spec, egress)
    if begun is None:
        return None
    with closing(begun):
        if begun.descriptor is not None:
            begun.patience = min(begun.patience, deadline - loop.time())
            over: asyncio.Future[None] = loop.create_future()
            begun.wait(partial(over.set_result, None))
            await over
        well = begun.timings is not None
        reading = await begun.go_on(deadline)
    took = time.perf_counter() - began
    seen = Seen(reading, judge(spec, reading, now=int(time.time() * 1000)), took)
    # Whatever was begun well is up, but for what was answered or how long it took.
    assert not well or reading.failure is None
    return seen


async def ping_alone(egress: Egress, target: str, seconds: float, **fields: Any) -> Seen | None:
    """Ping `target` once without a task, and judge; None where that is left to the probe."""
    spec = IcmpSpec(name="test", target=target, **(fields | {"packets": 1}))
    address = icmp.lone_address(spec, egress)
    if address is None:
        return None
    ended: asyncio.Future[Lone] = asyncio.get_running_loop().create_future()
    began = time.perf_counter()
    if egress.pinger.ask(address, seconds=seconds, told=ended.set_result) is None:
        return None
    reading = icmp.reading_of(await ended, spec)
    took = time.perf_counter() - began
    return Seen(reading, judge(spec, reading, now=int(time.time() * 1000)), took)
