"""Evidence at 10,000 monitors: every look at it is short, for it is on the event loop."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from netpulse.egress.routes import Way
from netpulse.engine.evidence import MOST_COUNTED, Evidence
from netpulse.engine.roster import Roster, Watched
from netpulse.model.watch import Status
from netpulse.rules.isolation import Sighting, Sign
from tests.clock import FakeClock
from tests.watched import watched

MONITORS = 10_000
MOST_MS = 5.0


class Crowd:
    """An evidence over 10,000 monitors."""

    def __init__(self, status: Status = Status.UP, *, push: bool = False) -> None:
        self.clock = FakeClock()
        self.roster = Roster()
        for number in range(MONITORS):
            self.roster.add(watched(number, status, push=push))
        self.all = list(self.roster)
        self.evidence = Evidence(self.clock, self.roster, lambda _: Way.OUT, lambda: True)

    def say(self, sign: Sign, where: Callable[[int], str]) -> None:
        """Have every monitor say the same."""
        now = self.clock.monotonic()
        for number, one in enumerate(self.all):
            self.evidence.note(self.sighting(one, sign, where(number), now))

    def sighting(self, one: Watched, sign: Sign, where: str, now: float) -> Sighting:
        return Sighting(target=one.id, sign=sign, where=where, began=now - 0.5, at=now)

    def is_open(self) -> bool:
        """Ask anew, without the answer that is kept for a second."""
        self.evidence._few_until = float("-inf")
        now = self.clock.monotonic()
        return self.evidence.is_open(
            self.all[0], self.sighting(self.all[0], Sign.SILENT, "elsewhere", now + 1)
        )


def own(number: int) -> str:
    return f"net {number}"


def shared(number: int) -> str:
    del number
    return "192.0.2.0/24"


def crowds() -> dict[str, Crowd]:
    found = {"nothing seen": Crowd(), "known to be down": Crowd(Status.DOWN)}
    found["pushes"] = Crowd(push=True)
    for name, sign, where in (
        ("all answer", Sign.ALIVE, own),
        ("all of one network answer", Sign.ALIVE, shared),
        ("all silent", Sign.SILENT, own),
        ("one network silent", Sign.SILENT, shared),
        ("all on this host", Sign.LOCAL, own),
        ("no name found", Sign.NAMELESS, shared),
    ):
        found[name] = crowd = Crowd()
        crowd.say(sign, where)
    found["silent for long"] = crowd = Crowd()
    crowd.say(Sign.SILENT, own)
    crowd.evidence.acquit()
    found["silent and down"] = crowd = Crowd(Status.DOWN)
    crowd.say(Sign.SILENT, own)
    return found


def least_ms(work: Callable[[], object]) -> float:
    """Return the least processor time of some runs: other processes are not in it."""
    spent = []
    for _ in range(12):
        began = time.thread_time()
        work()
        spent.append((time.thread_time() - began) * 1000)
    return min(spent)


def test_no_look_takes_long() -> None:
    for name, crowd in crowds().items():
        evidence = crowd.evidence

        def walk(crowd: Crowd = crowd) -> None:
            for one in crowd.roster:
                crowd.evidence._seen.get(one.id)

        # A machine so slow that a bare walk over all of them takes long has a wider limit.
        most = max(MOST_MS, 12 * least_ms(walk))
        for work in (
            crowd.is_open,
            evidence.ruling,
            lambda evidence=evidence, crowd=crowd: evidence.witnesses(crowd.all[0], 16),
            lambda evidence=evidence: evidence.next_few(3),
            evidence.acquit,
        ):
            assert least_ms(work) < most, (name, work)


def test_more_than_are_counted_one_by_one_are_told_all_the_same() -> None:
    crowd = Crowd()
    crowd.say(Sign.SILENT, own)
    ruling = crowd.evidence.ruling()
    assert MONITORS > MOST_COUNTED
    assert (ruling.isolated, ruling.failing) == (True, MONITORS)
    assert ruling.reason.startswith(f"{MONITORS} of {MONITORS} targets unreachable: ")
    assert ruling.since == crowd.clock.monotonic() - 0.5


def test_one_answer_among_all_the_silent_counts() -> None:
    crowd = Crowd()
    crowd.say(Sign.SILENT, own)
    last = crowd.all[-1]
    crowd.evidence.note(crowd.sighting(last, Sign.ALIVE, "x", crowd.clock.monotonic()))
    assert not crowd.evidence.ruling().isolated


def test_the_one_that_talks_is_found_among_all_the_silent() -> None:
    crowd = Crowd()
    crowd.say(Sign.SILENT, own)
    crowd.evidence._seen[crowd.all[-1].id] = crowd.sighting(crowd.all[-1], Sign.ALIVE, "x", 0.0)
    assert crowd.evidence.witnesses(crowd.all[0], 16) == [crowd.all[-1]]


def test_those_asked_again_are_others_each_time() -> None:
    crowd = Crowd()
    for one in crowd.all[10:]:
        crowd.roster.remove(one.id)
    asked = [one.id for _ in range(5) for one in crowd.evidence.next_few(2)]
    assert sorted(asked) == sorted(one.id for one in crowd.all[:10])
    assert len(crowd.evidence.next_few(50)) == 10


@pytest.mark.parametrize("push", [True, False])
def test_what_is_not_dialled_is_not_asked(push: bool) -> None:
    crowd = Crowd(push=push)
    assert bool(crowd.evidence.next_few(3)) is not push
    assert bool(crowd.evidence.witnesses(crowd.all[0], 3)) is not push


def test_who_is_gone_is_forgotten() -> None:
    crowd = Crowd()
    crowd.say(Sign.SILENT, own)
    for one in crowd.all[1:]:
        crowd.roster.remove(one.id)
    assert crowd.evidence.ruling().failing == 1
    assert set(crowd.evidence._suspects) == {crowd.all[0].id}
