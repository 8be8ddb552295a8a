"""A check begun without a task: it goes on in one only where it is not simply good.

A task, the coroutines in it and two deadlines cost as much as the rest of a plain check. So its
first step is done where the check is due, and what comes of it is heard by a call. Whatever else is
to be done or said is the probe's own business: it goes on from there, and asks nothing twice.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from netpulse.egress.deadlines import Wheel, wheel_of
from netpulse.egress.watch import Watch, watch
from netpulse.model.check import Reading, Timings


class Begun(ABC):
    """The first step of a check. Whoever has it calls `close`, whatever became of it."""

    __slots__ = (
        "_grain",
        "_told",
        "_watch",
        "_wheel",
        "address",
        "broke",
        "descriptor",
        "patience",
        "said",
        "timings",
    )

    WRITING: ClassVar = False
    """It waits until something can be written, not read."""

    def __init__(self, address: str | None, patience: float) -> None:
        """Take whom it went to, and for how many seconds there is nothing else to be done."""
        self.address = address
        self.descriptor: int | None = None
        """The socket, while something is to come; None: what is known is all, for now."""
        self.patience = patience
        self.said: tuple[str, ...] = ()
        """What was answered, where an answer can be right or wrong."""
        self.timings: Timings | None = None
        """What it took, once all of the check is done and went well."""
        self.broke: Exception | None = None
        """A mistake of ours that ended the waiting."""
        self._told: Callable[[], None] | None = None
        self._watch: Watch
        self._wheel: Wheel
        self._grain = 0.0

    @abstractmethod
    def heard(self, now: float) -> bool:
        """Look at what came, which may be nothing, at the moment `now` of `time.perf_counter`;
        return True where waiting is over."""

    @abstractmethod
    def reading(self, timings: Timings) -> Reading:
        """Return what was read, had it taken as long as this."""

    def wait(self, told: Callable[[], None]) -> None:
        """Have `told` called once: when the check is done, or needs its probe, or its patience is
        over. There is a descriptor; `told` must not raise.

        Raises:
            DialError: this host has no descriptor left to wait with.
        """
        self._watch = watch()
        self._wheel = wheel_of(self._watch.loop)
        self._listen()
        self._told = told
        # The loop's own time is that of its last waking; it is the same clock.
        self._grain = self._wheel.add(self, time.monotonic() + self.patience)

    def _listen(self) -> None:
        if self.descriptor is not None:
            self._watch.call(self.descriptor, self._came, writing=self.WRITING)

    def _came(self, now: float) -> None:
        try:
            if not self.heard(now):
                self._listen()
                return
        except Exception as error:  # noqa: BLE001 - whoever waits is told, and has it
            self.broke = error
        self._over()

    def strike(self) -> None:
        """The time is over."""
        if self._told is not None:
            try:
                if self.descriptor is not None:
                    self._watch.forget(self.descriptor)
                    self.late()
            except Exception as error:  # noqa: BLE001 - whoever waits is told, and has it
                self.broke = error
            self._over()

    def late(self) -> None:  # noqa: B027 - most have nothing to look at
        """Look at what arrived in time, where we were late ourselves."""

    def _over(self) -> None:
        told, self._told = self._told, None
        self._wheel.drop(self, self._grain)
        if told is not None:
            told()

    def close(self) -> None:
        """Hear nothing any more, and close what is open; nothing is told."""
        if self._told is not None:
            self._told = None
            self._wheel.drop(self, self._grain)
            if self.descriptor is not None:
                self._watch.forget(self.descriptor)

    @abstractmethod
    async def go_on(self, deadline: float) -> Reading:
        """Return what the probe would have, without doing again what was done. `deadline` is a
        moment of the loop's clock."""
