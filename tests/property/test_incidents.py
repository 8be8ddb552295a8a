"""The laws of the state machine, for any story of checks, lapses, pauses and restarts."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from netpulse.model.check import Check, Result
from netpulse.model.monitor import TcpSpec
from netpulse.model.time import Millis
from netpulse.model.watch import Flip, Status, UnknownReason, Watch
from netpulse.rules.incidents import lapse, pause, resume, step, worth_saving

START = 1_700_000_000_000

results = st.sampled_from([*Result] + [Result.DOWN] * 3)
events = st.one_of(
    results,
    results,
    results,
    st.sampled_from([*UnknownReason]),
    st.sampled_from(["pause", "resume"]),
)
# Seconds between two events; the clock may be set back.
stories = st.lists(st.tuples(events, st.integers(-100, 300)), max_size=60)
counts = st.integers(1, 5)


def spec(confirmations: int, recoveries: int) -> TcpSpec:
    return TcpSpec(
        name="db", target="db.example:1", confirmations=confirmations, recoveries=recoveries
    )


class Player:
    """Plays a story, with storage's part: it gives and takes the incident's id."""

    def __init__(self, rules: TcpSpec) -> None:
        self.rules = rules
        self.watch = Watch(since=START)
        self.flips: list[Flip] = []
        self.spans: list[Millis] = [START]
        self.opened = 0

    def play(self, event: Any, now: Millis) -> Flip | None:
        before = self.watch
        if isinstance(event, Result):
            check = Check(due_at=now, started_at=now, result=event)
            watch, flip = step(self.rules, before, check, now=now + 50)
        elif isinstance(event, UnknownReason):
            watch, flip = lapse(before, now - 30_000, event, now=now)
        elif event == "pause":
            watch, flip = pause(before, now)
        else:
            watch, flip = resume(before, now)
        if flip is not None:
            if flip.opens:
                assert watch.incident_id is None
                self.opened += 1
                watch = replace(watch, incident_id=f"i{self.opened}")
            elif flip.closes:
                assert watch.incident_id is not None
                watch = replace(watch, incident_id=None)
            self.flips.append(flip)
        self.watch = watch
        return flip


def moments(story: list[tuple[Any, int]]) -> list[tuple[Any, Millis]]:
    now = START
    timed = []
    for event, seconds in story:
        now += seconds * 1_000
        timed.append((event, now))
    return timed


@given(stories, counts, counts)
def test_flips_alternate_and_join_without_a_hole(
    story: list[tuple[Any, int]], confirmations: int, recoveries: int
) -> None:
    player = Player(spec(confirmations, recoveries))
    status, since = Status.PENDING, START
    for event, now in moments(story):
        flip = player.play(event, now)
        if flip is not None:
            assert flip.before is status
            assert flip.after is not status
            assert flip.at >= since, "back-dating never precedes the span before"
            # The clock of this story may go back; when it was decided is what the clock said.
            if flip.after not in (Status.PAUSED, Status.PENDING):
                assert 0 <= flip.decided_at - now <= 50
            status, since = flip.after, flip.at
        assert player.watch.status is status
        assert player.watch.since == since


@given(stories, counts, counts)
def test_an_incident_opens_once_and_closes_once(
    story: list[tuple[Any, int]], confirmations: int, recoveries: int
) -> None:
    player = Player(spec(confirmations, recoveries))
    is_open = False
    for event, now in moments(story):
        flip = player.play(event, now)
        if flip is not None:
            assert not (flip.opens and flip.closes)
            assert not (flip.opens and is_open)
            assert not (flip.closes and not is_open)
            is_open = flip.opens or (is_open and not flip.closes)
        # I1: one while the outage lasts, none else.
        assert is_open is (player.watch.settled is Status.DOWN)
        assert (player.watch.incident_id is not None) is is_open


@given(stories, counts, counts)
def test_a_change_needs_its_checks_in_a_row(
    story: list[tuple[Any, int]], confirmations: int, recoveries: int
) -> None:
    player = Player(spec(confirmations, recoveries))
    row: list[Result] = []
    for event, now in moments(story):
        settled = player.watch.settled
        flip = player.play(event, now)
        if not isinstance(event, Result):
            if flip is not None or isinstance(event, UnknownReason):
                row = []
            continue
        if event is Result.INCONCLUSIVE:
            assert flip is None
            continue
        row.append(event)
        if flip is None or player.watch.settled is settled:
            continue
        if flip.after is Status.DOWN:
            assert len(row) >= confirmations
            assert set(row[-confirmations:]) == {Result.DOWN}
        elif settled is Status.DOWN:
            assert len(row) >= recoveries
            assert Result.DOWN not in row[-recoveries:]
        elif flip.after is Status.DEGRADED:
            assert len(row) >= confirmations
            assert Result.UP not in row[-confirmations:]
        elif settled is Status.DEGRADED:
            assert len(row) >= recoveries
            assert set(row[-recoveries:]) == {Result.UP}
        else:
            assert event is Result.UP


@given(stories, counts, counts)
def test_enough_checks_in_a_row_always_change_the_state(
    story: list[tuple[Any, int]], confirmations: int, recoveries: int
) -> None:
    """The other direction: nothing stays undecided for ever."""
    player = Player(spec(confirmations, recoveries))
    for event, now in moments(story):
        player.play(event, now)
    player.play("resume", START + 10**9)
    for result, status in (
        (Result.DOWN, Status.DOWN),
        (Result.UP, Status.UP),
        (Result.DEGRADED, Status.DEGRADED),
        (Result.DOWN, Status.DOWN),
        (Result.DEGRADED, Status.DEGRADED),
        (Result.UP, Status.UP),
    ):
        for number in range(5):
            player.play(result, START + 2 * 10**9 + number)
        assert player.watch.status is status


@given(stories, counts, counts, st.integers(0, 60))
def test_inconclusive_checks_change_nothing(
    story: list[tuple[Any, int]], confirmations: int, recoveries: int, where: int
) -> None:
    timed = moments(story)
    plain = Player(spec(confirmations, recoveries))
    mixed = Player(spec(confirmations, recoveries))
    for number, (event, now) in enumerate(timed):
        plain.play(event, now)
        mixed.play(event, now)
        if number >= where:
            mixed.play(Result.INCONCLUSIVE, now)
    assert mixed.flips == plain.flips
    assert replace(mixed.watch, silent_since=None) == replace(plain.watch, silent_since=None)


@given(stories, counts, counts, st.sets(st.integers(0, 60)))
def test_a_restart_at_any_moment_ends_in_the_same_states(
    story: list[tuple[Any, int]], confirmations: int, recoveries: int, restarts: set[int]
) -> None:
    """I10: memory is what was saved at the last step that was worth saving."""
    steady = Player(spec(confirmations, recoveries))
    killed = Player(spec(confirmations, recoveries))
    saved = killed.watch
    for number, (event, now) in enumerate(moments(story)):
        steady.play(event, now)
        if number in restarts:
            killed.watch = replace(saved, vouched_until=None, silent_since=None)
        killed.play(event, now)
        if worth_saving(saved, killed.watch):
            saved = killed.watch
    assert killed.flips == steady.flips
    assert killed.watch.status is steady.watch.status


@settings(max_examples=50)
@given(st.lists(results, min_size=1, max_size=40), counts)
def test_downtime_begins_at_the_first_failing_check(row: list[Result], confirmations: int) -> None:
    player = Player(spec(confirmations, 1))
    for number, result in enumerate(row):
        flip = player.play(result, START + number * 60_000)
        if flip is not None and flip.after is Status.DOWN:
            first = (flip.at - START) // 60_000
            conclusive = [one for one in row[first : number + 1] if one is not Result.INCONCLUSIVE]
            assert conclusive == [Result.DOWN] * confirmations
            assert row[first] is Result.DOWN
