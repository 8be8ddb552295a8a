"""Confirmations, recoveries, unknown time and back-dating, case by case."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from netpulse.model.check import Check, Result
from netpulse.model.monitor import HttpSpec
from netpulse.model.time import SECOND, Millis
from netpulse.model.watch import Flip, Status, UnknownReason, Watch
from netpulse.rules.incidents import lapse, pause, resume, step, worth_saving

START = 1_700_000_000_000
INCIDENT = "019aa000-0000-7000-8000-00000000000a"
LETTERS = {
    "u": Result.UP,
    "s": Result.DEGRADED,
    "d": Result.DOWN,
    "?": Result.INCONCLUSIVE,
}


def spec(*, confirmations: int = 2, recoveries: int = 1) -> HttpSpec:
    return HttpSpec(
        name="shop",
        target="https://shop.example",
        confirmations=confirmations,
        recoveries=recoveries,
    )


def check(number: int, letter: str) -> Check:
    """Return the check of minute `number`, started 1 s after it was due."""
    due_at = START + number * 60 * SECOND
    return Check(due_at=due_at, started_at=due_at + SECOND, result=LETTERS[letter])


def began(number: int) -> Millis:
    return check(number, "u").started_at


def run(
    story: str, rules: HttpSpec | None = None, watch: Watch | None = None
) -> tuple[Watch, dict[int, Flip]]:
    """Play one check a letter; storage's part (the incident's id) is played too."""
    watch = watch or Watch(since=START)
    flips: dict[int, Flip] = {}
    for number, letter in enumerate(story):
        one = check(number, letter)
        watch, flip = step(rules or spec(), watch, one, now=one.started_at + SECOND)
        if flip is not None:
            flips[number] = flip
            watch = with_incident(watch, flip)
    return watch, flips


def with_incident(watch: Watch, flip: Flip) -> Watch:
    if flip.opens:
        return replace(watch, incident_id=INCIDENT)
    return replace(watch, incident_id=None) if flip.closes else watch


def told(flips: dict[int, Flip]) -> list[tuple[int, Status, Status, int]]:
    """Return the flips as (check that decided, before, after, check it began with)."""
    return [
        (number, flip.before, flip.after, (flip.at - START) // 60_000)
        for number, flip in flips.items()
    ]


P, U, S, D, X = Status.PENDING, Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN


@pytest.mark.parametrize(
    ("story", "confirmations", "recoveries", "flips"),
    [
        ("u", 2, 1, [(0, P, U, 0)]),
        ("uuuu", 2, 1, [(0, P, U, 0)]),
        # one failure is no outage; two in a row are, since the first
        ("ud", 2, 1, [(0, P, U, 0)]),
        ("udud", 2, 1, [(0, P, U, 0)]),
        ("udd", 2, 1, [(0, P, U, 0), (2, U, D, 1)]),
        ("uddddd", 3, 1, [(0, P, U, 0), (3, U, D, 1)]),
        ("ud", 1, 1, [(0, P, U, 0), (1, U, D, 1)]),
        # pending to down needs its confirmations as well
        ("d", 2, 1, []),
        ("dd", 2, 1, [(1, P, D, 0)]),
        ("du", 2, 1, [(1, P, U, 1)]),
        # recoveries, back-dated to the first good check
        ("ddu", 2, 1, [(1, P, D, 0), (2, D, U, 2)]),
        ("dduuu", 2, 3, [(1, P, D, 0), (4, D, U, 2)]),
        ("dduuduuu", 2, 3, [(1, P, D, 0), (7, D, U, 5)]),
        # the last good check says which state it is
        ("ddsu", 2, 2, [(1, P, D, 0), (3, D, U, 2)]),
        ("ddus", 2, 2, [(1, P, D, 0), (3, D, S, 2)]),
        ("dds", 2, 1, [(1, P, D, 0), (2, D, S, 2)]),
        # degraded: the same confirmations
        ("us", 2, 1, [(0, P, U, 0)]),
        ("uss", 2, 1, [(0, P, U, 0), (2, U, S, 1)]),
        ("ss", 2, 1, [(1, P, S, 0)]),
        ("ussu", 2, 1, [(0, P, U, 0), (2, U, S, 1), (3, S, U, 3)]),
        ("ussusuu", 2, 2, [(0, P, U, 0), (2, U, S, 1), (6, S, U, 5)]),
        # slow and down together make degraded; the down streak goes on and opens at its start
        ("usd", 2, 1, [(0, P, U, 0), (2, U, S, 1)]),
        ("usdd", 2, 1, [(0, P, U, 0), (2, U, S, 1), (3, S, D, 2)]),
        ("uds", 2, 1, [(0, P, U, 0), (2, U, S, 1)]),
        ("udsdd", 2, 1, [(0, P, U, 0), (2, U, S, 1), (4, S, D, 3)]),
        ("ussdsdd", 2, 1, [(0, P, U, 0), (2, U, S, 1), (6, S, D, 5)]),
        ("usddd", 3, 1, [(0, P, U, 0), (3, U, S, 1), (4, S, D, 2)]),
        # inconclusive checks are not there
        ("?", 2, 1, []),
        ("u?d?d", 2, 1, [(0, P, U, 0), (4, U, D, 2)]),
        ("dd?u", 2, 1, [(1, P, D, 0), (3, D, U, 3)]),
        ("ddu?u", 2, 2, [(1, P, D, 0), (4, D, U, 2)]),
    ],
)
def test_stories(
    story: str,
    confirmations: int,
    recoveries: int,
    flips: list[tuple[int, Status, Status, int]],
) -> None:
    rules = spec(confirmations=confirmations, recoveries=recoveries)

    assert told(run(story, rules)[1]) == flips


def test_an_outage_opens_an_incident_and_its_end_closes_it() -> None:
    watch, flips = run("uddu")

    assert [(flip.opens, flip.closes) for flip in flips.values()] == [
        (False, False),
        (True, False),
        (False, True),
    ]
    down = flips[2]
    assert down.at == began(1)
    assert down.decided_at == began(2) + SECOND
    assert down.check == check(2, "d")
    assert (watch.status, watch.settled, watch.since) == (U, U, began(3))
    assert (watch.downs, watch.slows, watch.goods) == (0, 0, 0)


def test_degraded_opens_nothing_and_ends_what_was_open() -> None:
    _, flips = run("usss")
    assert not any(flip.opens or flip.closes for flip in flips.values())

    _, flips = run("dds")
    assert (flips[2].opens, flips[2].closes) == (False, True)


def test_the_first_inconclusive_check_is_remembered_and_nothing_else() -> None:
    watch, _ = run("ud")
    after, _ = run("??", watch=watch)

    assert after == replace(watch, silent_since=began(0))
    again, _ = run("d", watch=after)
    assert again.silent_since is None


def test_unknown_remembers_what_was_settled_and_forgets_streaks() -> None:
    watch, _ = run("ud")
    watch, flip = lapse(watch, began(1) + 5 * SECOND, UnknownReason.STALE, now=began(4))

    assert flip == Flip(
        before=U,
        after=X,
        at=began(1) + 5 * SECOND,
        decided_at=began(4),
        reason=UnknownReason.STALE,
        settled=U,
    )
    assert (watch.status, watch.settled, watch.downs) == (X, U, 0)


@pytest.mark.parametrize(
    ("before", "story", "recoveries", "flips"),
    [
        # back to what was settled at once, without news
        ("u", "u", 1, [(0, X, U, 0)]),
        ("ss", "s", 1, [(0, X, S, 0)]),
        ("dd", "d", 1, [(0, X, D, 0)]),
        ("ss", "s", 3, [(0, X, S, 0)]),
        # else counting goes on from what was settled
        ("u", "d", 1, []),
        ("u", "dd", 1, [(1, X, D, 0)]),
        ("u", "ss", 1, [(1, X, S, 0)]),
        ("u", "du", 1, [(1, X, U, 1)]),
        ("ss", "u", 1, [(0, X, U, 0)]),
        ("ss", "uu", 2, [(1, X, U, 0)]),
        ("ss", "us", 2, [(1, X, S, 1)]),
        ("ss", "dd", 1, [(1, X, D, 0)]),
        ("dd", "u", 1, [(0, X, U, 0)]),
        ("dd", "uu", 2, [(1, X, U, 0)]),
        ("dd", "ud", 2, [(1, X, D, 1)]),
        ("", "u", 1, [(0, X, U, 0)]),
        ("", "dd", 1, [(1, X, D, 0)]),
    ],
)
def test_out_of_unknown(
    before: str, story: str, recoveries: int, flips: list[tuple[int, Status, Status, int]]
) -> None:
    watch, _ = run(before)
    watch, _ = lapse(watch, START, UnknownReason.ISOLATED, now=START)
    watch = replace(watch, since=START)

    assert told(run(story, spec(recoveries=recoveries), watch)[1]) == flips


def test_an_open_incident_survives_unknown_time() -> None:
    watch, _ = run("dd")
    watch, flip = lapse(watch, began(2), UnknownReason.STARVED, now=began(2))
    assert flip is not None
    assert (flip.opens, flip.closes) == (False, False)
    assert watch.incident_id == INCIDENT

    returned, flips = run("d", watch=watch)
    assert (flips[0].opens, flips[0].closes, flips[0].settled) == (False, False, D)
    assert returned.incident_id == INCIDENT

    _, flips = run("u", watch=watch)
    assert (flips[0].opens, flips[0].closes) == (False, True)


def test_a_span_never_begins_before_the_one_in_front_of_it() -> None:
    watch = Watch(since=began(5), status=U, settled=U)

    watch, flips = run("dd", watch=watch)  # the clock was set back

    assert flips[1].at == began(5)
    assert flips[1].decided_at < flips[1].at, "what is told is told by the clock as it is now"
    assert watch.since == began(5)


def test_a_lapse_is_not_dated_before_the_state_it_ends() -> None:
    watch = Watch(since=began(5), status=U, settled=U)

    watch, flip = lapse(watch, began(3), UnknownReason.STALE, now=began(6))

    assert flip is not None
    assert (flip.at, watch.since) == (began(5), began(5))


def test_unknown_and_paused_do_not_lapse() -> None:
    watch, _ = lapse(Watch(since=START), START, UnknownReason.STALE, now=START)
    watch = replace(watch, downs=1, first_down_at=START)
    again, flip = lapse(watch, began(3), UnknownReason.ISOLATED, now=began(3))
    assert flip is None
    assert (again.since, again.downs) == (START, 0)

    paused, _ = pause(watch, began(4))
    assert lapse(paused, began(5), UnknownReason.STALE, now=began(5)) == (paused, None)


def test_a_pause_ends_the_incident_and_the_past() -> None:
    watch, _ = run("ddu", spec(recoveries=3))
    watch, flip = pause(watch, began(3))

    assert flip == Flip(
        before=D,
        after=Status.PAUSED,
        at=began(3),
        decided_at=began(3),
        reason=UnknownReason.PAUSED,
        settled=D,
        closes=True,
    )
    assert (watch.status, watch.settled, watch.goods) == (Status.PAUSED, P, 0)
    assert watch.incident_id == INCIDENT, "storage closes it"
    assert pause(watch, began(4)) == (watch, None)

    # A check that was in flight changes nothing.
    assert step(spec(), watch, check(4, "u"), now=began(4)) == (watch, None)

    watch, flip = resume(replace(watch, incident_id=None), began(5))
    assert flip == Flip(before=Status.PAUSED, after=P, at=began(5), decided_at=began(5))
    assert (watch.status, watch.settled, watch.since) == (P, P, began(5))
    assert resume(watch, began(6)) == (watch, None)


def test_a_pause_without_an_incident_closes_nothing() -> None:
    watch, _ = run("uss")

    _, flip = pause(watch, began(3))

    assert flip is not None
    assert not flip.closes


def test_what_is_worth_saving() -> None:
    steady, _ = run("uu")
    assert not worth_saving(steady, run("u", watch=steady)[0])
    assert not worth_saving(steady, replace(steady, vouched_until=1))
    assert not worth_saving(steady, run("?", watch=steady)[0])

    failing, _ = run("d", watch=steady)
    assert worth_saving(steady, failing)
    assert worth_saving(failing, run("d", spec(confirmations=5), failing)[0])
    assert worth_saving(failing, run("u", watch=failing)[0])
