"""Measuring: one probe against its deadline, and the verdict on what it measured."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from netpulse.egress.connect import Egress
from netpulse.egress.deadlines import Deadline
from netpulse.engine.clock import Clock
from netpulse.engine.lag import LoopLag
from netpulse.model.check import Check, Failure, Reading, Result, Verdict
from netpulse.model.ids import Id
from netpulse.model.monitor import MonitorSpec, type_of
from netpulse.model.time import SECOND, Millis
from netpulse.probes import PROBES
from netpulse.probes.begun import Begun
from netpulse.rules.verdict import is_heavy, judge, lag_limit_ms

OVERRUN_SECONDS = 2.0
"""A probe keeps its deadline itself, with the phase named; this much later we cut it off."""


Since = tuple[Millis, float]
"""When a check began: Unix milliseconds, and the monotonic clock's seconds."""


class Measured(Struct, frozen=True, kw_only=True):
    """One probe's outcome, not yet held against anything."""

    started_at: Millis
    mono: float = 0.0
    """Its beginning on the monotonic clock, in seconds."""
    reading: Reading
    verdict: Verdict
    error: Exception | None = None
    """The mistake of ours that made it inconclusive."""

    def check(self, due_at: Millis | None, *, counted: bool = True) -> Check:
        """Return it as a check for the slot `due_at`; None: off the grid, due when it started."""
        timings = self.reading.timings
        total = None if self.reading.failure is not None else timings.total_ms
        verdict = self.verdict
        return Check(
            due_at=self.started_at if due_at is None else due_at,
            started_at=self.started_at,
            result=verdict.result,
            response_time_ms=None if total is None else round(total),
            status_code=self.reading.status_code,
            failure=verdict.failure,
            detail=verdict.detail,
            message=verdict.message,
            timings=timings,
            counted=counted,
        )


class Measuring:
    """Runs probes, for the schedule and for people alike."""

    def __init__(self, way: Callable[[Id], Egress], clock: Clock, lag: LoopLag) -> None:
        """Take what gives each organization its way out, the time, and our own lateness."""
        self.way = way
        self._clock = clock
        self._lag = lag
        # One at a time: several Python-heavy threads would starve the loop.
        self._heavy = asyncio.Semaphore(1)

    async def measure(
        self,
        org_id: Id,
        spec: MonitorSpec,
        *,
        damage: str | None = None,
        begun: Begun | None = None,
        since: Since | None = None,
    ) -> Measured:
        """Run one probe against its deadline and judge what it measured; never raises.

        It reaches what the organization may reach at this moment. Where `damage` says that the
        monitor's secrets do not open it is not probed: without them the target's answer would say
        nothing. What was `begun` already, `since` then, goes on from there.
        """
        clock = self._clock
        now, mono_now = clock.now(), clock.monotonic()
        started_at, mono = since or (now, mono_now)
        deadline = mono + spec.timeout_seconds
        if damage is not None:
            return Measured(
                started_at=started_at,
                mono=mono,
                reading=Reading(failure=Failure.INTERNAL, error=damage),
                verdict=Verdict(Result.INCONCLUSIVE, Failure.INTERNAL, None, damage),
            )
        reading = Reading()
        try:
            left = deadline - mono_now + OVERRUN_SECONDS
            with Deadline(asyncio.get_running_loop().time() + left):
                if begun is not None:
                    reading = await begun.go_on(deadline)
                else:
                    reading = await PROBES[type_of(spec)](spec, deadline, self.way(org_id))
            if reading.body and is_heavy(spec, reading):
                own_lag_ms = self._lag.worst_since(mono)
                async with self._heavy:
                    verdict = await asyncio.to_thread(
                        judge, spec, reading, own_lag_ms=own_lag_ms, now=clock.now()
                    )
            else:
                verdict = self._judged(spec, reading, mono)
        except TimeoutError as error:
            own_lag_ms = self._lag.worst_since(mono)
            if own_lag_ms <= lag_limit_ms(spec.timeout_seconds):
                return broken(started_at, reading, error)
            late = f"our own process was late by {own_lag_ms / SECOND:.1f} s: not judged"
            reading = Reading(failure=Failure.OWN_LAG, error=late)
            verdict = judge(spec, reading, now=clock.now())
        except Exception as error:  # noqa: BLE001 - logged once per edge by `_note_internal`
            return broken(started_at, reading, error)
        return Measured(started_at=started_at, mono=mono, reading=reading, verdict=verdict)

    def judged(
        self, spec: MonitorSpec, reading: Reading, *, started_at: Millis, mono: float
    ) -> Measured:
        """Return what a probe measured that began at these moments, judged at once."""
        verdict = self._judged(spec, reading, mono)
        return Measured(started_at=started_at, mono=mono, reading=reading, verdict=verdict)

    def _judged(self, spec: MonitorSpec, reading: Reading, mono: float) -> Verdict:
        now = self._clock.now()
        verdict = judge(spec, reading, now=now)
        if verdict.result is not Result.UP or spec.invert:
            # How late we were ourselves is asked only where it may count.
            own_lag_ms = self._lag.worst_since(mono)
            verdict = judge(spec, reading, own_lag_ms=own_lag_ms, now=now)
        return verdict


def broken(started_at: Millis, reading: Reading, error: Exception) -> Measured:
    """Return the outcome of a mistake of ours: no word about the target, which is never raised
    for what it does."""
    if isinstance(error, TimeoutError):
        message = "the check did not end at its deadline; this is a mistake in NetPulse"
    else:
        message = f"the check broke ({type(error).__name__}); this is a mistake in NetPulse"
    verdict = Verdict(Result.INCONCLUSIVE, Failure.INTERNAL, None, f"{message}, see its log")
    return Measured(
        started_at=started_at,
        reading=replace(reading, failure=Failure.INTERNAL),
        verdict=verdict,
        error=error,
    )
