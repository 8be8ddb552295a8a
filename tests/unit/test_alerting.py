"""Who is told what, case by case."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from netpulse.model.alert import Event, NoticeStatus, Rule, Suppressed
from netpulse.model.check import Check, Failure, Result
from netpulse.model.incident import Incident, IncidentStatus, Origin
from netpulse.model.monitor import HttpSpec, Monitor, TcpSpec
from netpulse.model.org import Org
from netpulse.model.watch import Flip, Status, UnknownReason
from netpulse.rules.alerting import (
    Facts,
    NoticeDraft,
    ProblemNotice,
    due,
    due_of_system,
    payload,
    reason_of,
    still_holds,
    withdrawn,
)

NOW = 1_735_732_920_000  # 2025-01-01T12:02:00Z
ACTIVE = frozenset({"hook", "mail"})
P, U, S, D, X = Status.PENDING, Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN
DOWN, UP, DEGRADED = Event.MONITOR_DOWN, Event.MONITOR_UP, Event.MONITOR_DEGRADED


def rule(name: str = "r1", channel: str = "hook", condition: str = "down", **more: Any) -> Rule:
    return Rule(
        id=name,
        org_id="org",
        name=name,
        channel_id=channel,
        condition=condition,
        created_at=more.pop("created_at", 1),
        **more,
    )


def flip(before: Status, after: Status, settled: Status | None = None) -> Flip:
    settled = settled or before
    return Flip(
        before=before,
        after=after,
        at=NOW - 120_000,
        decided_at=NOW,
        settled=settled,
        reason=UnknownReason.PAUSED if after is Status.PAUSED else None,
        opens=after is D and settled is not D,
        closes=settled is D and after in {U, S, Status.PAUSED},
    )


def problem(event: Event = DOWN, rule_id: str = "r1", channel: str = "hook", **more: Any) -> Any:
    return ProblemNotice(
        id=f"{event}/{rule_id}",
        event=event,
        rule_id=rule_id,
        channel_id=channel,
        status=more.pop("status", NoticeStatus.SENT),
        **more,
    )


def facts(*problems: ProblemNotice, **more: Any) -> Facts:
    return Facts(active_channels=more.pop("active", ACTIVE), problems=problems, **more)


def told(drafts: list[NoticeDraft]) -> list[tuple[str, Event, str | None]]:
    """Return (rule, event, why not) of each draft; None for what is sent now."""
    return [
        (
            draft.rule_id,
            draft.event,
            f"held: {draft.held_for}" if draft.held_for else draft.reason and str(draft.reason),
        )
        for draft in drafts
    ]


@pytest.mark.parametrize(
    ("condition", "turn", "events"),
    [
        ("down", flip(U, D), [DOWN]),
        ("down", flip(P, D), [DOWN]),
        ("down", flip(S, D), [DOWN]),
        ("down", flip(X, D, settled=U), [DOWN]),
        ("down", flip(U, S), []),
        ("down", flip(P, U), []),
        ("down", flip(U, X), []),
        ("down", flip(U, Status.PAUSED), []),
        # back in the outage that unknown time hid
        ("down", flip(X, D, settled=D), []),
        ("degraded", flip(U, S), [DEGRADED]),
        ("degraded", flip(P, S), [DEGRADED]),
        ("degraded", flip(D, S), [DEGRADED]),
        ("degraded", flip(X, S, settled=U), [DEGRADED]),
        ("degraded", flip(X, S, settled=S), []),
        ("degraded", flip(U, D), []),
        ("up", flip(D, U), [UP]),
        ("up", flip(S, U), [UP]),
        ("up", flip(P, U), []),
        ("up", flip(X, U, settled=U), []),
        ("up", flip(X, U, settled=S), []),
        ("up", flip(X, U, settled=P), []),
        ("up", flip(X, U, settled=D), [UP]),
        ("up", flip(D, Status.PAUSED), []),
        ("down or degraded", flip(U, S), [DEGRADED]),
        ("down or degraded", flip(S, D), [DOWN]),
        ("system", flip(U, D), []),
    ],
)
def test_what_a_condition_reacts_to(condition: str, turn: Flip, events: list[Event]) -> None:
    drafts = due(turn, [rule(condition=condition)], facts())

    assert [draft.event for draft in drafts] == events
    for draft in drafts:
        assert (draft.status, draft.next_attempt_at) == (NoticeStatus.PENDING, NOW)


def test_one_notice_a_channel_however_many_rules_ask() -> None:
    rules = [
        rule("r3", "mail"),
        rule("r2", "hook", created_at=5),
        rule("r1", "hook", created_at=9),
    ]

    assert told(due(flip(U, D), rules, facts())) == [
        ("r3", DOWN, None),
        ("r2", DOWN, None),
        ("r1", DOWN, "duplicate"),
    ]


def test_a_switched_off_channel_is_recorded() -> None:
    drafts = due(flip(U, D), [rule("r1", "hook"), rule("r2", "mail")], facts(active={"mail"}))

    assert told(drafts) == [("r1", DOWN, "channel_inactive"), ("r2", DOWN, None)]
    assert drafts[0].status is NoticeStatus.SUPPRESSED
    assert drafts[0].next_attempt_at is None


def test_a_problem_inside_the_cooldown_waits_for_its_end() -> None:
    ten_ago = facts(told_at={"r1": NOW - 10_000})

    (draft,) = due(flip(U, D), [rule(cooldown_seconds=300)], ten_ago)

    assert draft.status is NoticeStatus.PENDING
    assert draft.held_for is Suppressed.COOLDOWN
    assert draft.next_attempt_at == NOW + 290_000


@pytest.mark.parametrize(("cooldown", "ago"), [(300, 300_000), (300, 400_000), (0, 0)])
def test_after_the_cooldown_it_is_told_at_once(cooldown: int, ago: int) -> None:
    (draft,) = due(flip(U, D), [rule(cooldown_seconds=cooldown)], facts(told_at={"r1": NOW - ago}))

    assert (draft.held_for, draft.next_attempt_at) == (None, NOW)


def test_the_cooldown_is_of_one_rule_and_another_may_speak() -> None:
    rules = [rule("r1"), rule("r2")]

    assert told(due(flip(U, D), rules, facts(told_at={"r1": NOW - 10_000}))) == [
        ("r1", DOWN, "duplicate"),
        ("r2", DOWN, None),
    ]
    both = facts(told_at={"r1": NOW - 10_000, "r2": NOW - 20_000})
    assert told(due(flip(U, D), rules, both)) == [
        ("r1", DOWN, "duplicate"),
        ("r2", DOWN, "held: cooldown"),
    ]


@pytest.mark.parametrize(
    ("notice", "why_not"),
    [
        (problem(), None),
        (problem(status=NoticeStatus.PENDING), None),
        (problem(status=NoticeStatus.PENDING, held_for=Suppressed.COOLDOWN), "cooldown"),
        (problem(status=NoticeStatus.SUPPRESSED, reason=Suppressed.COOLDOWN), "cooldown"),
        (
            problem(status=NoticeStatus.SUPPRESSED, reason=Suppressed.CHANNEL_INACTIVE),
            "channel_inactive",
        ),
        (problem(status=NoticeStatus.FAILED), "collapsed"),
    ],
)
def test_a_recovery_is_told_exactly_when_its_problem_was(
    notice: ProblemNotice, why_not: str | None
) -> None:
    for after in (U, S):
        drafts = due(flip(D, after), [rule()], facts(notice))
        assert told(drafts) == [("r1", UP, why_not)]


def test_no_recovery_without_a_problem_of_that_rule_or_channel() -> None:
    assert due(flip(D, U), [rule()], facts()) == []
    assert due(flip(D, U), [rule()], facts(problem(channel="mail", rule_id="r2"))) == []


def test_a_rule_that_wants_no_recoveries() -> None:
    assert due(flip(D, U), [rule(notify_recovery=False)], facts(problem())) == []


def test_the_recovery_counts_what_the_channel_heard_by_whichever_rule() -> None:
    rules = [rule("r1", notify_recovery=False), rule("r2")]
    heard = facts(
        problem(rule_id="r1"),
        problem(rule_id="r2", status=NoticeStatus.SUPPRESSED, reason=Suppressed.DUPLICATE),
    )

    assert told(due(flip(D, U), rules, heard)) == [("r2", UP, None)]
    assert told(due(flip(D, U), [rule("r1"), rule("r2")], heard)) == [
        ("r1", UP, None),
        ("r2", UP, "duplicate"),
    ]


def test_a_recovery_for_a_channel_that_was_switched_off_meanwhile() -> None:
    drafts = due(flip(D, U), [rule()], facts(problem(), active=frozenset()))

    assert told(drafts) == [("r1", UP, "channel_inactive")]


def test_a_recovery_is_never_held_by_a_cooldown() -> None:
    drafts = due(flip(D, U), [rule()], facts(problem(), told_at={"r1": NOW - 1}))

    assert told(drafts) == [("r1", UP, None)]


def test_a_pause_tells_no_recovery() -> None:
    for words in ("down", "up", "down or up or degraded"):
        assert due(flip(D, Status.PAUSED), [rule(condition=words)], facts(problem())) == []


def test_out_of_an_outage_into_slowness() -> None:
    down, slow = rule("r1"), rule("r2", condition="degraded")

    # The end of the incident goes first: a channel has one notice of one transition.
    assert told(due(flip(D, S), [down, slow], facts(problem()))) == [
        ("r1", UP, None),
        ("r2", DEGRADED, "duplicate"),
    ]
    both = rule("r1", condition="down or degraded")
    assert told(due(flip(D, S), [both], facts(problem()))) == [
        ("r1", UP, None),
        ("r1", DEGRADED, "duplicate"),
    ]
    # Where nobody heard of the outage, the slowness is news.
    untold = problem(status=NoticeStatus.SUPPRESSED, reason=Suppressed.COOLDOWN)
    assert told(due(flip(D, S), [both], facts(untold))) == [
        ("r1", UP, "cooldown"),
        ("r1", DEGRADED, None),
    ]


def test_the_recovery_of_slowness_comes_when_all_is_well_again() -> None:
    slow = rule(condition="degraded")
    heard = facts(problem(DEGRADED))

    assert due(flip(S, D), [slow], heard) == []
    assert told(due(flip(S, U), [slow], heard)) == [("r1", UP, None)]
    assert told(due(flip(D, U), [slow], heard)) == [("r1", UP, None)]
    assert told(due(flip(X, U, settled=S), [slow], heard)) == [("r1", UP, None)]


def test_a_rule_for_down_and_up_says_up_once() -> None:
    assert told(due(flip(D, U), [rule(condition="down or up")], facts(problem()))) == [
        ("r1", UP, None)
    ]
    # It asked for `up` by itself: the problem need not have been told.
    assert told(due(flip(D, U), [rule(condition="down or up")], facts())) == [("r1", UP, None)]


@pytest.mark.parametrize(
    ("turn", "ids"),
    [
        (flip(D, U), ["monitor.down/r1", "monitor.degraded/r1"]),
        (flip(D, Status.PAUSED), ["monitor.down/r1", "monitor.degraded/r1"]),
        (flip(D, S), ["monitor.down/r1"]),
        (flip(S, D), ["monitor.degraded/r1"]),
        (flip(D, X), []),
        (flip(X, D, settled=D), ["monitor.degraded/r1"]),
    ],
)
def test_held_problems_that_a_flip_ends(turn: Flip, ids: list[str]) -> None:
    held = {"status": NoticeStatus.PENDING, "held_for": Suppressed.COOLDOWN}
    known = facts(
        problem(DOWN, **held),
        problem(DEGRADED, **held),
        problem(DOWN, rule_id="r2", status=NoticeStatus.PENDING),
    )

    assert list(withdrawn(turn, known)) == ids


def test_whether_a_held_problem_still_holds() -> None:
    assert still_holds(DOWN, settled=D, incident_open=True)
    assert not still_holds(DOWN, settled=U, incident_open=False)
    assert still_holds(DEGRADED, settled=S, incident_open=False)
    assert not still_holds(DEGRADED, settled=D, incident_open=True)
    assert not still_holds(UP, settled=U, incident_open=False)


def test_notices_about_ourselves() -> None:
    rules = [
        rule("r1", condition="system"),
        rule("r2", condition="down or system"),
        rule("r3", "mail", "system"),
        rule("r4", "gone", "system"),
        rule("r5", "mail", "down"),
    ]

    drafts = due_of_system(Event.SYSTEM_ISOLATED, rules, ACTIVE, at=NOW)

    assert told(drafts) == [
        ("r1", Event.SYSTEM_ISOLATED, None),
        ("r2", Event.SYSTEM_ISOLATED, "duplicate"),
        ("r3", Event.SYSTEM_ISOLATED, None),
        ("r4", Event.SYSTEM_ISOLATED, "channel_inactive"),
    ]


# ------------------------------------------------------------------ payload

ORG = Org(id="org-1", name="Acme Corp", slug="acme", created_at=0)
MONITOR = Monitor(
    id="mon-1",
    key=1,
    org_id="org-1",
    spec=HttpSpec(name="Production API", target="https://u:secret@api.example.com#x"),
    created_at=0,
)
INCIDENT = Incident(
    id="inc-1",
    org_id="org-1",
    title="Production API is down",
    status=IncidentStatus.INVESTIGATING,
    origin=Origin.CHECK,
    started_at=NOW - 120_000,
    reason="status 503, expected 200-299",
    created_at=NOW,
)


def test_the_payload_of_an_outage() -> None:
    raw = payload(
        "n-1", DOWN, ORG, at=NOW, monitor=MONITOR, incident=INCIDENT, reason=INCIDENT.reason
    )

    assert msgspec.json.decode(raw) == {
        "id": "n-1",
        "event": "monitor.down",
        "monitor": {
            "id": "mon-1",
            "name": "Production API",
            "type": "http",
            "target": "https://api.example.com",
        },
        "incident": {
            "id": "inc-1",
            "started_at": "2025-01-01T12:00:00Z",
            "duration_seconds": 120,
        },
        "org": {"id": "org-1", "name": "Acme Corp"},
        "reason": "status 503, expected 200-299",
        "timestamp": "2025-01-01T12:02:00Z",
    }


def test_a_recovery_carries_the_whole_outage() -> None:
    over = replace(INCIDENT, resolved_at=NOW + 3_600_000)

    # Decided two checks after the one that ended the outage.
    raw = payload("n-2", UP, ORG, at=NOW + 3_720_000, monitor=MONITOR, incident=over)

    assert msgspec.json.decode(raw)["incident"]["duration_seconds"] == 3_720


def test_the_payload_of_a_notice_about_ourselves() -> None:
    raw = payload("n-3", Event.SYSTEM_ISOLATED, ORG, at=NOW, reason="no resolver answers")

    assert msgspec.json.decode(raw) == {
        "id": "n-3",
        "event": "system.isolated",
        "monitor": None,
        "incident": None,
        "org": {"id": "org-1", "name": "Acme Corp"},
        "reason": "no resolver answers",
        "timestamp": "2025-01-01T12:02:00Z",
    }


def test_a_clock_set_back_gives_no_negative_duration() -> None:
    raw = payload("n-4", DOWN, ORG, at=NOW - 500_000, monitor=MONITOR, incident=INCIDENT)

    assert msgspec.json.decode(raw)["incident"]["duration_seconds"] == 0


def test_the_payload_of_a_tcp_monitor() -> None:
    tcp = replace(MONITOR, spec=TcpSpec(name="db", target="db.example:5432"))

    raw = payload("n-5", DEGRADED, ORG, at=NOW, monitor=tcp)

    assert msgspec.json.decode(raw)["monitor"] == {
        "id": "mon-1",
        "name": "db",
        "type": "tcp",
        "target": "db.example:5432",
    }


def test_the_reason_of_a_notice() -> None:
    check = Check(
        due_at=NOW,
        started_at=NOW,
        result=Result.DOWN,
        failure=Failure.REFUSED,
        message="connection refused by 192.0.2.7:443",
    )
    turn = replace(flip(U, D), check=check)

    assert reason_of(turn, DOWN, INCIDENT) == "connection refused by 192.0.2.7:443"
    assert reason_of(turn, UP, INCIDENT) == "status 503, expected 200-299"
    assert reason_of(flip(S, U), UP, None) is None
    assert reason_of(flip(U, S), DEGRADED, None) is None
