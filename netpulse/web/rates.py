"""How often something may be done: a minute that slides, counted by name.

The minute is kept in slices of SLICE_SECONDS, and a slice that lies only partly within the last
sixty seconds counts whole. So it errs to one side: within any sixty seconds never more than the
limit is let through, and whoever is refused waits at most SLICE_SECONDS longer than an exact count
would have them wait. (The common counter of two weighted windows is smaller, but lets through
nearly twice the limit around the turn of a window.) What is refused does not count.

Time is the monotonic clock's, so that setting the clock neither frees nor locks anybody. The
counts are in memory alone and a restart forgets them; what must survive one (failed sign-ins) is
kept in the database instead.
"""

from __future__ import annotations

from array import array
from math import ceil

from msgspec import Struct

from netpulse.config import Limits

WINDOW_SECONDS = 60
SLICE_SECONDS = 5
_SLICES = WINDOW_SECONDS // SLICE_SECONDS + 1
_NOTHING = array("L", bytes(array("L").itemsize * _SLICES))

MOST_NAMES = 20_000
"""Names with a count of their own. A flood of new ones takes nobody's count away: whoever comes
when it is full shares one of `SHARED` counts with others, until names that went quiet make room."""
SHARED = 1_024

MOST_NOTED = 60
"""Of who subscribes to a status page or leaves, so many an hour are written into the audit log."""


class Taken(Struct, frozen=True, gc=False):
    """What came of asking for one."""

    most: int
    """The limit."""
    left: int
    """How many more are allowed at this moment."""
    reset: int
    """Whole seconds until some of what was taken no longer counts."""
    allowed: bool


class _Window:
    """The counts of one name, a ring of slices."""

    __slots__ = ("_counts", "_latest", "total")

    def __init__(self, now: int) -> None:
        self._counts = _NOTHING[:]
        self._latest = now
        self.total = 0

    def move(self, now: int) -> None:
        """Forget what lies too far back from the slice `now`."""
        passed = now - self._latest
        if passed == 0:
            return
        if not 0 < passed < _SLICES:
            self._counts, self.total = _NOTHING[:], 0
        else:
            for number in range(self._latest + 1, now + 1):
                self.total -= self._counts[number % _SLICES]
                self._counts[number % _SLICES] = 0
        self._latest = now

    def count(self) -> None:
        """Count one in the latest slice."""
        self._counts[self._latest % _SLICES] += 1
        self.total += 1

    def ends(self) -> int:
        """Return the slice from which on the oldest counted one no longer counts."""
        for number in range(self._latest - _SLICES + 1, self._latest + 1):
            if self._counts[number % _SLICES]:
                break
        return number + _SLICES


class Rate:
    """One limit: at most so many a minute, or another time, for each name."""

    __slots__ = ("_most", "_old", "_slice", "_turned", "_young")

    def __init__(self, most: int, *, seconds: int = WINDOW_SECONDS) -> None:
        """Allow `most` in `seconds` (a multiple of 12) and by name; 0: any number, and nothing is
        counted."""
        self._most = most
        self._slice = seconds // (_SLICES - 1)
        # Two generations: what was not asked for during a whole one has nothing left to count.
        self._young: dict[str | int, _Window] = {}
        self._old: dict[str | int, _Window] = {}
        self._turned = 0

    def __len__(self) -> int:
        """Return how many names are remembered."""
        return len(self._young) + len(self._old)

    def take(self, name: str, at: float) -> Taken | None:
        """Take one for `name` at the moment `at` (monotonic seconds); None: there is no limit."""
        if not self._most:
            return None
        window = self._window(name, int(at // self._slice))
        allowed = window.total < self._most
        if allowed:
            window.count()
        reset = min(max(1, ceil(window.ends() * self._slice - at)), _SLICES * self._slice)
        return Taken(self._most, self._most - window.total, reset, allowed)

    def wait(self, name: str, at: float) -> int:
        """Take one; return 0, or the seconds after which `name` may try again."""
        taken = self.take(name, at)
        return 0 if taken is None or taken.allowed else taken.reset

    def _window(self, name: str, now: int) -> _Window:
        passed = now - self._turned
        if not 0 <= passed < _SLICES:
            # A clock that went back, which a monotonic one does not do, ends both.
            self._old = self._young if 0 <= passed < 2 * _SLICES else {}
            self._young, self._turned = {}, now
        key: str | int = name
        window = self._found(key)
        if window is None and len(self) >= MOST_NAMES:
            # Which one it is differs from process to process, so that nobody can choose it.
            key = hash(name) % SHARED
            window = self._found(key)
        if window is None:
            window = self._young[key] = _Window(now)
        window.move(now)
        return window

    def _found(self, key: str | int) -> _Window | None:
        window = self._young.get(key)
        if window is None:
            window = self._old.pop(key, None)
            if window is not None:
                self._young[key] = window
        return window


class Rates:
    """Everything that is limited by the minute."""

    __slots__ = (
        "channel_tests",
        "exports",
        "invitations",
        "page_passwords",
        "page_subscriptions",
        "pings",
        "runs",
        "signed_in",
        "strangers",
        "stray_links",
        "stray_pings",
        "subscribed_addresses",
        "subscription_notes",
        "subscriptions",
        "unnoted_subscriptions",
    )

    def __init__(self, limits: Limits) -> None:
        """Set the limits that the configuration names, and those that are fixed."""
        self.signed_in = Rate(limits.requests_per_minute)
        """Requests, by key or sign-in."""
        self.strangers = Rate(limits.anonymous_per_minute)
        """Requests without one, by address."""
        self.runs = Rate(limits.runs_per_minute)
        """Checks that were asked for, by organization."""
        self.channel_tests = Rate(limits.channel_tests_per_minute)
        """Test messages through alert channels, by organization."""
        self.exports = Rate(20)
        """Of whole logs, by organization: each reads all of one."""
        self.pings = Rate(120)
        """By monitor: one of ten seconds that says start, log and end needs 18 a minute."""
        self.stray_pings = Rate(60)
        """With an unknown token, by address."""
        self.stray_links = Rate(60)
        """Links of messages and invitations that are not ours or have expired, by address."""
        self.invitations = Rate(50, seconds=3600)
        """Invitations that were sent, by organization, in an hour."""
        self.page_passwords = Rate(10)
        """Attempts at the password of a status page, by address."""
        self.subscriptions = Rate(20, seconds=3600)
        """Subscriptions that were asked for, by address, in an hour."""
        self.page_subscriptions = Rate(500, seconds=3600)
        """The same, by status page."""
        self.subscribed_addresses = Rate(3, seconds=3600)
        """Questions whether somebody wants the news of a page, by whom they go to."""
        self.subscription_notes = Rate(MOST_NOTED, seconds=3600)
        """Rows of the audit log about who subscribes or leaves, by status page, in an hour:
        strangers write them, and nothing is ever taken out of it."""
        self.unnoted_subscriptions = Rate(1, seconds=3600)
        """Rows that say that there are more of them."""
