"""Terms of conditions over checks: windows, what nobody knows, and the words for them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from netpulse.model.alert import Event, Rule
from netpulse.model.check import Certificate
from netpulse.model.time import DAY, HOUR, MINUTE, Millis
from netpulse.model.watch import Status
from netpulse.rules import condition, thresholds
from netpulse.rules.gauges import Gauge
from netpulse.rules.thresholds import Sight, Standing, Turn
from tests.unit.test_certificate_notices import certificate

START: Millis = 1_790_000_000_000
INTERVAL = MINUTE


def rule(text: str, **changes: object) -> Rule:
    fields: dict[str, object] = {
        "id": "rule",
        "org_id": "org",
        "name": text,
        "channel_id": "channel",
        "condition": text,
        "created_at": START,
    }
    return Rule(**(fields | changes))  # type: ignore[arg-type]


class Life:
    """A gauge over the checks of a monitor, as the engine leads it."""

    def __init__(self, text: str, standing: Standing | None = None, **changes: object) -> None:
        asked = rule(text, **changes)
        (term,) = condition.parse(text).terms
        self.gauge = Gauge(asked, term, standing)
        self.told: list[tuple[Millis, str]] = []

    def check(
        self,
        after: Millis,
        response_time_ms: int | None = None,
        *,
        status: Status = Status.UP,
        seen: Certificate | None = None,
    ) -> Turn | None:
        at = START + after
        sight = Sight(at=at, status=status, response_time_ms=response_time_ms, certificate=seen)
        turn = self.gauge.turn("monitor", INTERVAL, sight, at)
        if turn is not None:
            kept = None if turn.ended else turn.standing
            assert self.gauge.take({turn.standing.key: kept}, turn)
            self.told.append((after, turn.reason))
        return turn

    def checks(self, values: Iterable[int | None], start: Millis = 0) -> list[tuple[Millis, str]]:
        """Check once a minute."""
        for number, value in enumerate(values):
            self.check(start + number * MINUTE, value)
        return self.told


def test_without_a_window_one_check_decides() -> None:
    told = Life("response_time_ms > 800").checks([700, 801, 900, 800])

    assert told == [
        (1 * MINUTE, "response time 801 ms, above 800 ms"),
        (3 * MINUTE, "response time 800 ms, no longer above 800 ms; it was for 2 min"),
    ]


def test_a_window_must_be_covered() -> None:
    told = Life("response_time_ms > 800 for 5m").checks([1240] * 8 + [320])

    assert told == [
        (5 * MINUTE, "response time 1,240 ms, above 800 ms for 5 min"),
        (8 * MINUTE, "response time 320 ms, no longer above 800 ms; it was for 8 min"),
    ]


def test_one_check_that_does_not_meet_it_begins_the_window_anew() -> None:
    assert Life("response_time_ms > 800 for 5m").checks([900] * 5 + [10] + [900] * 5) == []


def test_a_check_without_an_answer_breaks_the_window_and_ends_the_term() -> None:
    assert Life("response_time_ms > 800 for 5m").checks([900] * 5 + [None] + [900] * 5) == []
    assert Life("response_time_ms > 800").checks([900, None])[1:] == [
        (MINUTE, "no answer, no longer above 800 ms; it was for 1 min")
    ]
    assert Life("response_time_ms != 800").checks([None]) == []


def test_a_window_needs_two_checks() -> None:
    life = Life("response_time_ms > 800 for 30s")

    assert life.check(0, 900) is None
    assert life.check(MINUTE, 900) is not None


def test_what_nobody_saw_for_long_begins_the_window_anew() -> None:
    life = Life("response_time_ms > 800 for 5m")

    assert life.check(0, 900) is None
    assert life.check(HOUR, 900) is None
    assert life.check(HOUR + 4 * MINUTE, 900) is None
    assert life.check(HOUR + 5 * MINUTE, 900) is not None
    # Nor does it end what is so.
    assert life.check(3 * HOUR, 900) is None
    assert life.check(3 * HOUR + MINUTE, 10) is not None


def test_an_interval_longer_than_the_window_takes_two_checks() -> None:
    life = Life("response_time_ms > 800 for 30s")

    assert life.check(0, 900) is None
    # One was inconclusive and is not seen here; two of them are too much.
    assert life.check(2 * MINUTE, 900) is not None

    life = Life("response_time_ms > 800 for 30s")
    assert life.check(0, 900) is None
    assert life.check(3 * MINUTE, 900) is None


def test_a_clock_that_is_set_back_begins_the_window_anew() -> None:
    life = Life("response_time_ms > 800 for 5m")

    life.check(10 * MINUTE, 900)
    assert life.check(0, 900) is None
    assert life.check(4 * MINUTE, 900) is None
    assert life.check(5 * MINUTE, 900) is not None


def test_after_a_restart_what_was_so_is_neither_repeated_nor_ended() -> None:
    first = Life("response_time_ms > 800 for 5m")
    first.checks([900] * 6)

    again = Life("response_time_ms > 800 for 5m", first.gauge.standing)
    assert again.checks([900] * 10, start=7 * MINUTE) == []
    assert again.checks([10], start=20 * MINUTE) == [
        (20 * MINUTE, "response time 10 ms, no longer above 800 ms; it was for 20 min")
    ]


def test_a_state_must_be_the_confirmed_one() -> None:
    life = Life("degraded and response_time_ms > 800")

    assert life.check(0, 900, status=Status.PENDING) is None
    assert life.check(1 * MINUTE, 900, status=Status.UP) is None
    assert life.check(2 * MINUTE, 900, status=Status.UNKNOWN) is None
    begun = life.check(3 * MINUTE, 900, status=Status.DEGRADED)
    assert begun is not None
    assert begun.reason == "degraded; response time 900 ms, above 800 ms"
    # Unknown says nothing, neither way.
    assert life.check(4 * MINUTE, 900, status=Status.UNKNOWN) is None
    ended = life.check(5 * MINUTE, 900, status=Status.UP)
    assert ended is not None
    assert ended.ended
    assert ended.reason == "up, no longer degraded; it was for 2 min"


def test_a_certificate_that_nobody_saw_says_nothing() -> None:
    life = Life("certificate_days < 14")
    soon = certificate(90, made=START - 80 * DAY)

    assert life.check(0, 5) is None
    assert life.check(MINUTE, 5, seen=soon) is not None
    assert life.check(2 * MINUTE, None) is None


def test_a_certificate_is_told_of_once_a_threshold() -> None:
    life = Life("certificate_days < 14")
    seen = certificate(90, made=START - 70 * DAY)
    for hours in range(24 * 25):
        life.check(hours * HOUR, 5, seen=seen)

    assert life.told == [
        (6 * DAY, "certificate of shop.example expires in 13 days, on 2026-10-11"),
        (13 * DAY, "certificate of shop.example expires in 6 days, on 2026-10-11"),
        (17 * DAY, "certificate of shop.example expires in 2 days, on 2026-10-11"),
        (19 * DAY, "certificate of shop.example expires in less than a day, on 2026-10-11"),
        (20 * DAY, "certificate of shop.example has expired, on 2026-10-11"),
    ]


def test_a_certificate_seen_late_is_told_of_once() -> None:
    life = Life("certificate_days < 30")
    turn = life.check(0, 5, seen=certificate(90, made=START - 85 * DAY))

    assert turn is not None
    assert turn.event is Event.CERTIFICATE_EXPIRING
    assert turn.thresholds == (30, 14, 7)
    assert life.check(HOUR, 5, seen=certificate(90, made=START - 85 * DAY)) is None


def test_a_certificate_of_six_days_is_told_of_on_its_last_day() -> None:
    life = Life("certificate_days < 14")
    seen = certificate(6, made=START)
    for hours in range(24 * 7):
        life.check(hours * HOUR, 5, seen=seen)

    assert [at for at, _ in life.told] == [5 * DAY, 6 * DAY]


def test_a_renewal_ends_it_and_the_new_one_begins_anew() -> None:
    life = Life("certificate_days <= 13")
    old = certificate(90, made=START - 80 * DAY)
    new = certificate(90, "bb", made=START)

    life.check(0, 5, seen=old)
    ended = life.check(DAY, 5, seen=new)
    assert ended is not None
    assert ended.ended
    assert ended.event is Event.CERTIFICATE_EXPIRING
    assert ended.reason == "certificate of shop.example renewed: valid until 2026-12-20"
    assert life.check(75 * DAY, 5, seen=new) is None
    again = life.check(77 * DAY, 5, seen=new)
    assert again is not None
    assert again.thresholds == (14,)


def test_a_renewal_by_one_that_runs_out_as_well_is_no_end() -> None:
    life = Life("certificate_days < 14")
    life.check(0, 5, seen=certificate(90, made=START - 80 * DAY))
    turn = life.check(DAY, 5, seen=certificate(90, "bb", made=START - 79 * DAY))

    assert turn is not None
    assert not turn.ended
    assert turn.standing.fingerprint == "bb"
    ended = life.check(2 * DAY, 5, seen=certificate(90, "cc", made=START))
    assert ended is not None
    assert ended.ended


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("certificate_days < 14", 14),
        ("certificate_days < 13.5", 14),
        ("certificate_days <= 13", 14),
        ("certificate_days <= 13.5", 14),
        ("certificate_days < 14 and certificate_days <= 6 and certificate_days > 2", 7),
        ("up and certificate_days < 14", 14),
        ("certificate_days > 14", None),
        ("certificate_days != 14", None),
        ("certificate_days < 14 and response_time_ms > 5", None),
        ("response_time_ms < 14", None),
    ],
)
def test_which_terms_are_about_a_certificate_running_out(text: str, bound: int | None) -> None:
    (term,) = condition.parse(text).terms

    assert thresholds.bound(term) == bound


def test_other_terms_with_a_certificate_are_thresholds() -> None:
    life = Life("certificate_days < 14 and response_time_ms >= 5")
    turn = life.check(0, 5, seen=certificate(90, made=START - 80 * DAY))

    assert turn is not None
    assert turn.event is Event.MONITOR_THRESHOLD
    assert turn.reason == (
        "certificate of shop.example expires in 9 days, on 2026-10-01, below 14 days;"
        " response time 5 ms, at or above 5 ms"
    )


def test_a_rule_that_escalates_waits_with_its_first_word() -> None:
    life = Life("response_time_ms > 800 for 5m", escalation_minutes=10)
    life.checks([900] * 9)
    begun = life.gauge.standing
    assert begun is not None
    assert (begun.since, begun.speaks_at) == (START, START + 10 * MINUTE)
    # A restart meanwhile forgets neither.
    again = Life("response_time_ms > 800 for 5m", begun, escalation_minutes=10)
    again.checks([900] * 9, start=9 * MINUTE)
    assert again.told == [(14 * MINUTE, "response time 900 ms, above 800 ms for 5 min")]
    assert again.gauge.standing is not None
    assert again.gauge.standing.speaks_at is None


def test_a_rule_that_escalates_says_nothing_of_what_ends_before() -> None:
    life = Life("certificate_days < 14", escalation_minutes=60)
    old = certificate(90, made=START - 80 * DAY)
    turn = life.check(0, 5, seen=old)

    assert turn is not None
    assert turn.standing.speaks_at == START + HOUR
    assert life.check(30 * MINUTE, 5, seen=old) is None
    ended = life.check(40 * MINUTE, 5, seen=certificate(90, "bb", made=START))
    assert ended is not None
    assert ended.ended
    assert ended.standing.notice_id is None
