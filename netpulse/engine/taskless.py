"""What checks have in common that are begun and taken without a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from msgspec import Struct

from netpulse.egress.connect import Egress
from netpulse.engine.clock import Clock
from netpulse.engine.due import Due
from netpulse.engine.figures import Lags
from netpulse.engine.isolation import Isolation
from netpulse.engine.measuring import Measured, Measuring, Since
from netpulse.engine.roster import Watched
from netpulse.model.check import Check
from netpulse.model.ids import Id
from netpulse.probes.begun import Begun


class Parts(Struct, frozen=True):
    """Whom such checks have to do with."""

    way: Callable[[Id], Egress]
    """The way out of each organization."""
    clock: Clock
    measuring: Measuring
    """Judges what is not simply good."""
    isolation: Isolation
    """Takes note of every answer."""
    lags: Lags
    """How late checks began."""
    confirms: Callable[[Watched, Check], bool]
    """Takes a check that says what is known, and returns whether it was one."""
    go_on: Callable[[Watched, Due, Begun, Since], None]
    """Takes a check that is more than that where it is, in a task."""
    conclude: Callable[[Watched, Due, Measured], None]
    """Takes what was measured, whatever it is, in a task."""
    done: Callable[[Due], None]
    """Called when a check is over."""


class Taskless(ABC):
    """One check on its way, in the place of its monitor's task. Whoever makes one says whose it is,
    for which time."""

    __slots__ = ("due", "parts", "watched")

    parts: Parts
    watched: Watched
    due: Due

    def stand(self) -> None:
        """Be the check of the monitor from now on."""
        self.watched.task, self.watched.probing = self, True

    def leave(self) -> None:
        """Be it no more: over, or gone on with in a task."""
        self.watched.task, self.watched.probing = None, False

    def done(self) -> bool:
        """Tell whether it is over."""
        return self.watched.task is not self

    def cancel(self) -> None:
        """Drop it; nothing comes of it."""
        if not self.done():
            self.abandon()
            self.leave()
            self.parts.done(self.due)

    @abstractmethod
    def abandon(self) -> None:
        """Wait no more for what was sent."""
