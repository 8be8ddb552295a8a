"""The laws of alerting, for any history of flips, rules and deliveries."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from netpulse.model.alert import PROBLEMS, Event, NoticeStatus, Rule, Suppressed
from netpulse.model.check import Check, Result
from netpulse.model.ids import Id
from netpulse.model.monitor import TcpSpec
from netpulse.model.time import SECOND, Millis
from netpulse.model.watch import Flip, Status, UnknownReason, Watch
from netpulse.rules.alerting import (
    Facts,
    NoticeDraft,
    ProblemNotice,
    due,
    still_holds,
    withdrawn,
)
from netpulse.rules.incidents import lapse, step

START = 1_700_000_000_000
CHANNELS = ("hook", "mail", "chat")
CONDITIONS = ("down", "up", "degraded", "down or degraded", "down or up", "system")


@st.composite
def rule_sets(draw: st.DrawFn, conditions: tuple[str, ...] = CONDITIONS) -> list[Rule]:
    return [
        Rule(
            id=f"r{number}",
            org_id="org",
            name=f"r{number}",
            channel_id=draw(st.sampled_from(CHANNELS)),
            condition=draw(st.sampled_from(conditions)),
            cooldown_seconds=draw(st.sampled_from([0, 60, 300, 3_600])),
            notify_recovery=draw(st.booleans()),
            created_at=draw(st.integers(0, 3)),
        )
        for number in range(draw(st.integers(0, 5)))
    ]


class Row(Struct):
    """A row of the outbox, as storage keeps it."""

    id: Id
    draft: NoticeDraft
    flip: int
    incident: int | None
    status: NoticeStatus
    reason: Suppressed | None
    held_for: Suppressed | None
    created_at: Millis
    sent_at: Millis | None = None
    answered: bool = False


class Outbox:
    """Storage's and the dispatcher's part: rows, facts, deliveries, held ones that come due."""

    def __init__(self, rules: list[Rule], active: frozenset[Id]) -> None:
        self.rules = rules
        self.active = active
        self.rows: list[Row] = []
        self.flips = 0
        self.incident: int | None = None
        self.incidents = 0

    def facts(self) -> Facts:
        told: dict[Id, Millis] = {}
        for row in self.rows:
            if row.draft.event in PROBLEMS and self._told(row):
                at = row.sent_at or row.created_at
                told[row.draft.rule_id] = max(at, told.get(row.draft.rule_id, 0))
        return Facts(
            active_channels=self.active,
            told_at=told,
            problems=[
                ProblemNotice(
                    id=row.id,
                    event=row.draft.event,
                    rule_id=row.draft.rule_id,
                    channel_id=row.draft.channel_id,
                    status=row.status,
                    reason=row.reason,
                    held_for=row.held_for,
                )
                for row in self.rows
                if row.draft.event in PROBLEMS and not row.answered
            ],
        )

    @staticmethod
    def _told(row: Row) -> bool:
        if row.status is NoticeStatus.PENDING:
            return row.held_for is None
        return row.status is NoticeStatus.SENT

    def write(self, flip: Flip) -> list[NoticeDraft]:
        facts = self.facts()
        drafts = due(flip, self.rules, facts)
        self.flips += 1
        for one in withdrawn(flip, facts):
            row = next(row for row in self.rows if row.id == one)
            row.status, row.reason, row.held_for = NoticeStatus.SUPPRESSED, row.held_for, None
        if flip.opens:
            self.incidents += 1
            self.incident = self.incidents
        for draft in drafts:
            self.rows.append(
                Row(
                    id=f"n{len(self.rows)}",
                    draft=draft,
                    flip=self.flips,
                    incident=self.incident,
                    status=draft.status,
                    reason=draft.reason,
                    held_for=draft.held_for,
                    created_at=flip.decided_at,
                )
            )
        for row in self.rows:
            ended = row.draft.event is Event.MONITOR_DOWN and flip.closes
            if flip.after in {Status.UP, Status.PAUSED} or ended:
                row.answered = True
        if flip.closes:
            self.incident = None
        return drafts

    def deliver(self, now: Millis, settled: Status, fails: bool) -> None:
        for row in self.rows:
            at = row.draft.next_attempt_at
            if row.status is not NoticeStatus.PENDING or at is None or at > now:
                continue
            if row.held_for is not None and not still_holds(
                row.draft.event, settled=settled, incident_open=self.incident is not None
            ):
                row.status, row.reason, row.held_for = NoticeStatus.SUPPRESSED, row.held_for, None
                continue
            row.held_for = None
            row.status = NoticeStatus.FAILED if fails else NoticeStatus.SENT
            row.sent_at = None if fails else now


stories = st.lists(
    st.tuples(
        st.sampled_from([Result.UP, Result.DEGRADED, Result.DOWN, Result.DOWN, "lapse"]),
        st.integers(1, 600),
        st.sampled_from(["deliver", "deliver", "deliver", "fail", "wait"]),
    ),
    max_size=40,
)
actives = st.sets(st.sampled_from(CHANNELS)).map(frozenset)


SPEC = TcpSpec(name="db", target="db.example:1", confirmations=1)


def turn(watch: Watch, event: Any, now: Millis) -> tuple[Watch, Flip | None]:
    """Take one event of a story; the incident's id is given and taken as storage does."""
    if event == "lapse":
        watch, flip = lapse(watch, now, UnknownReason.STALE, now=now)
    else:
        watch, flip = step(SPEC, watch, Check(due_at=now, started_at=now, result=event), now=now)
    if flip is not None and flip.opens:
        watch = replace(watch, incident_id="open")
    elif flip is not None and flip.closes:
        watch = replace(watch, incident_id=None)
    return watch, flip


def play(outbox: Outbox, story: list[tuple[Any, int, str]]) -> list[tuple[Flip, list[NoticeDraft]]]:
    watch, now = Watch(since=START), START
    written = []
    for event, seconds, delivery in story:
        now += seconds * SECOND
        watch, flip = turn(watch, event, now)
        if flip is not None:
            written.append((flip, outbox.write(flip)))
        if delivery != "wait":
            outbox.deliver(now, watch.settled, fails=delivery == "fail")
    return written


@given(rule_sets(), actives, stories)
def test_one_notice_a_transition_and_channel(
    rules: list[Rule], active: frozenset[Id], story: list[tuple[Any, int, str]]
) -> None:
    for _, drafts in play(Outbox(rules, active), story):
        unsuppressed = Counter(
            draft.channel_id for draft in drafts if draft.status is not NoticeStatus.SUPPRESSED
        )
        assert all(count == 1 for count in unsuppressed.values())
        assert set(unsuppressed) <= active


@given(rule_sets(), actives, stories)
def test_a_suppressed_notice_has_a_reason_and_another_has_its_time(
    rules: list[Rule], active: frozenset[Id], story: list[tuple[Any, int, str]]
) -> None:
    for flip, drafts in play(Outbox(rules, active), story):
        for draft in drafts:
            if draft.status is NoticeStatus.SUPPRESSED:
                assert draft.reason is not None
                assert draft.held_for is None
                assert draft.next_attempt_at is None
            else:
                assert draft.status is NoticeStatus.PENDING
                assert draft.reason is None
                assert draft.next_attempt_at is not None
                assert draft.next_attempt_at >= flip.decided_at
                assert (draft.held_for is not None) is (draft.next_attempt_at > flip.decided_at)


@given(rule_sets(), actives, stories)
def test_every_rule_hears_of_every_outage_or_why_not(
    rules: list[Rule], active: frozenset[Id], story: list[tuple[Any, int, str]]
) -> None:
    for flip, drafts in play(Outbox(rules, active), story):
        if not flip.opens:
            continue
        for rule in rules:
            mine = [draft for draft in drafts if draft.rule_id == rule.id]
            wants = "down" in rule.condition.split()
            assert [draft.event for draft in mine] == [Event.MONITOR_DOWN] * wants


@settings(max_examples=200)
@given(rule_sets(conditions=("down",)), actives, stories)
def test_a_recovery_is_told_exactly_when_its_problem_was(
    rules: list[Rule], active: frozenset[Id], story: list[tuple[Any, int, str]]
) -> None:
    """For each channel and incident: the recovery is on its way iff the problem was told then."""
    outbox = Outbox(rules, active)
    watch, now = Watch(since=START), START
    for event, seconds, delivery in story:
        now += seconds * SECOND
        watch, flip = turn(watch, event, now)
        if flip is not None and flip.closes:
            heard = {
                row.draft.channel_id
                for row in outbox.rows
                if row.incident == outbox.incident and outbox._told(row)
            }
            wanted = {rule.channel_id for rule in rules if rule.notify_recovery}
            drafts = outbox.write(flip)
            recovered = {
                draft.channel_id for draft in drafts if draft.status is NoticeStatus.PENDING
            }
            assert recovered == heard & wanted
            assert all(draft.event is Event.MONITOR_UP for draft in drafts)
        elif flip is not None:
            outbox.write(flip)
        if delivery != "wait":
            outbox.deliver(now, watch.settled, fails=delivery == "fail")


@given(rule_sets(), actives, stories)
def test_the_order_of_the_rules_does_not_matter(
    rules: list[Rule], active: frozenset[Id], story: list[tuple[Any, int, str]]
) -> None:
    forth = play(Outbox(rules, active), story)
    back = play(Outbox(rules[::-1], active), story)

    assert forth == back


@given(rule_sets(), stories)
def test_two_told_problems_of_a_rule_are_a_cooldown_apart(
    rules: list[Rule], story: list[tuple[Any, int, str]]
) -> None:
    outbox = Outbox(rules, frozenset(CHANNELS))
    play(outbox, story)

    for rule in rules:
        told = sorted(
            row.draft.next_attempt_at or 0
            for row in outbox.rows
            if row.draft.rule_id == rule.id
            and row.draft.event in PROBLEMS
            and row.status in {NoticeStatus.SENT, NoticeStatus.PENDING}
            and (row.sent_at is not None or row.held_for is None)
        )
        for one, other in pairwise(told):
            assert other - one >= rule.cooldown_seconds * SECOND or rule.cooldown_seconds == 0
