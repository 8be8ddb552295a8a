"""The account of time, by hand."""

from __future__ import annotations

import time

import pytest

from netpulse.model.time import SECOND
from netpulse.model.watch import Gap, Span, Status, UnknownReason
from netpulse.rules.uptime import Account, Outage, account, percent, uptime_percent

T = 1_700_000_000 * SECOND
UP, DOWN, SLOW, UNKNOWN = Status.UP, Status.DOWN, Status.DEGRADED, Status.UNKNOWN


def span(second: float, status: Status, incident: str | None = None, **more: str) -> Span:
    reason = UnknownReason(more["reason"]) if "reason" in more else None
    return Span(T + int(second * SECOND), status, reason, incident)


def gap(start: float, end: float, reason: str = "stopped") -> Gap:
    return Gap(T + int(start * SECOND), T + int(end * SECOND), UnknownReason(reason))


def of(spans: list[Span], gaps: list[Gap] | None = None, end: int = 100) -> Account:
    return account(T, T + end * SECOND, spans, gaps or [], T + 10_000 * SECOND)


def parts(one: Account) -> tuple[int, int, int, int, int]:
    """Return the seconds up, degraded, down, in maintenance and unknown."""
    return (
        one.up_seconds,
        one.degraded_seconds,
        one.down_seconds,
        one.maintenance_seconds,
        one.unknown_seconds,
    )


def test_a_quiet_day() -> None:
    day = account(T, T + 86_400 * SECOND, [span(-500, UP)], [], T + 86_400 * SECOND)

    assert parts(day) == (86_400, 0, 0, 0, 0)
    assert (day.uptime_percent_time, day.coverage_percent, day.outages) == (100.0, 100.0, ())


def test_every_state_in_turn() -> None:
    one = of(
        [
            span(-5, UP),
            span(10, SLOW),
            span(20, DOWN, "i1"),
            span(50, UP),
            span(60, Status.MAINTENANCE),
            span(70, Status.PAUSED, reason="paused"),
            span(80, Status.PENDING),
            span(90, UNKNOWN, reason="isolated"),
        ]
    )

    assert parts(one) == (20, 10, 30, 10, 30)
    assert one.unknown_reasons == {
        UnknownReason.PAUSED: 10,
        UnknownReason.STOPPED: 0,
        UnknownReason.ISOLATED: 10,
        UnknownReason.STARVED: 0,
        UnknownReason.STALE: 10,
    }
    assert one.uptime_percent_time == 50.0
    assert one.coverage_percent == 70.0
    assert one.outages == (
        Outage(
            incident_id="i1",
            started_at=T + 20 * SECOND,
            ended_at=T + 50 * SECOND,
            duration_seconds=30,
        ),
    )


def test_before_the_first_span_nothing_is_known() -> None:
    one = of([span(40, UP)])

    assert parts(one) == (60, 0, 0, 0, 40)
    assert one.unknown_reasons[UnknownReason.STALE] == 40
    assert parts(of([])) == (0, 0, 0, 0, 100)


def test_an_unknown_span_without_a_reason_is_stale() -> None:
    assert of([span(0, UNKNOWN)]).unknown_reasons[UnknownReason.STALE] == 100


def test_nobody_watched_in_a_gap() -> None:
    one = of(
        [span(0, UP), span(30, DOWN, "i1"), span(60, UP)],
        [gap(20, 40), gap(35, 45, "isolated"), gap(90, 500, "starved")],
    )

    assert parts(one) == (20 + 30, 0, 15, 0, 35)
    assert one.unknown_reasons[UnknownReason.STOPPED] == 20
    assert one.unknown_reasons[UnknownReason.ISOLATED] == 5
    assert one.unknown_reasons[UnknownReason.STARVED] == 10
    assert one.outages[0].duration_seconds == 15
    assert one.outages[0].started_at == T + 30 * SECOND


def test_a_gap_says_more_than_unknown_but_paused_stays_paused() -> None:
    one = of([span(0, UNKNOWN, reason="stale"), span(50, Status.PAUSED)], [gap(40, 60)])

    assert one.unknown_reasons[UnknownReason.STALE] == 40
    assert one.unknown_reasons[UnknownReason.STOPPED] == 10
    assert one.unknown_reasons[UnknownReason.PAUSED] == 50


def test_the_future_does_not_count() -> None:
    one = account(T, T + 100 * SECOND, [span(0, UP)], [], T + 30 * SECOND)

    assert (one.end, one.period_seconds) == (T + 30 * SECOND, 30)
    assert parts(one) == (30, 0, 0, 0, 0)


def test_an_empty_period() -> None:
    one = account(T, T, [span(0, UP)], [], T)
    assert parts(one) == (0, 0, 0, 0, 0)
    assert (one.uptime_percent_time, one.coverage_percent) == (None, None)

    backwards = account(T, T + SECOND, [span(0, UP)], [], T - SECOND)
    assert (backwards.start, backwards.end) == (T, T)


def test_half_seconds_add_up() -> None:
    one = account(
        T + 500,
        T + 10_499,
        [span(0.5, UP), span(3.5, DOWN, "i1"), span(3.9, UP), span(7.999, DOWN, "i2")],
        [],
        T + 20_000,
    )

    assert parts(one) == (7, 0, 3, 0, 0)
    assert one.period_seconds == 10
    assert sum(outage.duration_seconds for outage in one.outages) == one.down_seconds
    assert [outage.duration_seconds for outage in one.outages] == [0, 3]


def test_an_outage_through_unknown_time_is_one() -> None:
    one = of(
        [
            span(10, DOWN, "i1"),
            span(20, UNKNOWN, reason="isolated"),
            span(30, DOWN, "i1"),
            span(50, UP),
        ]
    )

    assert one.outages == (
        Outage(
            incident_id="i1",
            started_at=T + 10 * SECOND,
            ended_at=T + 50 * SECOND,
            duration_seconds=30,
        ),
    )


def test_an_outage_that_ends_in_unknown_time() -> None:
    one = of([span(10, DOWN, "i1"), span(20, UNKNOWN), span(30, UP), span(40, DOWN, "i2")])

    assert [(outage.incident_id, outage.ended_at) for outage in one.outages] == [
        ("i1", T + 30 * SECOND),
        ("i2", None),
    ]
    assert [outage.duration_seconds for outage in one.outages] == [10, 60]


def test_an_outage_that_began_before_the_period() -> None:
    one = of([span(-50, DOWN, "i1"), span(5, UP)])

    assert one.outages == (
        Outage(
            incident_id="i1",
            started_at=T - 50 * SECOND,
            ended_at=T + 5 * SECOND,
            duration_seconds=5,
        ),
    )


def test_two_incidents_without_time_between_them() -> None:
    one = of([span(0, DOWN, "i1"), span(50, DOWN, "i2")])

    assert [(outage.incident_id, outage.duration_seconds) for outage in one.outages] == [
        ("i1", 50),
        ("i2", 50),
    ]
    assert one.outages[0].ended_at == T + 50 * SECOND


def test_an_outage_outside_the_period_is_not_listed() -> None:
    assert of([span(-50, DOWN, "i1"), span(-20, UP)]).outages == ()
    assert of([span(0, UP), span(200, DOWN, "i1")]).outages == ()


@pytest.mark.parametrize(
    ("checks", "downs", "wanted"),
    [
        (0, 0, None),
        (1, 0, 100.0),
        (1, 1, 0.0),
        (3, 1, 66.6666),
        (3, 2, 33.3333),
        (1_000_000, 1, 99.9999),
        (10_000_000, 1, 99.9999),
        (7, 1, 85.7142),
    ],
)
def test_the_percentage_is_rounded_down(checks: int, downs: int, wanted: float | None) -> None:
    assert uptime_percent(checks, downs) == wanted


def test_a_hundred_percent_is_said_only_without_any_loss() -> None:
    assert percent(31_535_999, 31_536_000) == 99.9999
    assert percent(31_536_000, 31_536_000) == 100.0
    assert percent(5, 0) is None


def test_gaps_over_gaps_and_over_several_states() -> None:
    one = of(
        [
            span(-5, UP),
            span(20, DOWN, "i1"),
            span(30, UP),
            span(60, Status.PAUSED, reason="paused"),
        ],
        [gap(10, 40), gap(15, 25, "starved"), gap(35, 45, "isolated"), gap(50, 70), gap(65, 80)],
    )

    assert parts(one) == (10 + 5, 0, 0, 0, 85)
    assert one.unknown_reasons == {
        UnknownReason.PAUSED: 40,
        UnknownReason.STOPPED: 30 + 10,
        UnknownReason.ISOLATED: 5,
        UnknownReason.STARVED: 0,
        UnknownReason.STALE: 0,
    }


def test_a_quarter_of_flapping_is_accounted_for_at_once() -> None:
    """Every 5 minutes a change, every hour a gap: spans times gaps took 4.5 s."""
    flaps = [span(300 * n, DOWN if n % 2 else UP, f"i{n}") for n in range(25_920)]
    holes = [gap(3_600 * n + 10, 3_600 * n + 15) for n in range(2_160)]
    began = time.process_time()
    one = account(T, T + 7_776_000 * SECOND, flaps, holes, T + 7_776_000 * SECOND)

    assert time.process_time() - began < 1.0
    assert sum(parts(one)) == 7_776_000
    assert one.unknown_seconds == 2_160 * 5
