"""When a ping is due, when it is missed, and what a ping says."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpulse.model.check import Failure, Result
from netpulse.model.monitor import PushSpec
from netpulse.model.push import Beat, Ping, PingKind
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis, rfc3339
from netpulse.rules import push
from netpulse.rules.monitors import normalised, problems
from netpulse.rules.verdict import judge

BERLIN = "Europe/Berlin"


def at(text: str) -> Millis:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def spec(**fields: Any) -> PushSpec:
    return PushSpec(**({"name": "Backup"} | fields))


NOON = at("2026-11-23T12:00:00+00:00")


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("*/10 * * * *", "UTC", "2026-11-23T12:03:00Z", ["12:10", "12:20"]),
        (
            "0 9 * * 1-5",
            "America/New_York",
            "2026-11-20T15:00:00Z",
            ["2026-11-23T14:00", "2026-11-24T14:00"],
        ),
        # The night in March in which 02:30 does not exist: right after the gap, then as ever.
        (
            "30 2 * * *",
            BERLIN,
            "2026-03-28T12:00:00+01:00",
            ["2026-03-29T01:00", "2026-03-30T00:30", "2026-03-31T00:30"],
        ),
        ("*/30 * * * *", BERLIN, "2026-03-29T01:20:00+01:00", ["00:30", "01:00", "01:30"]),
        ("0 * * * *", BERLIN, "2026-03-29T00:30:00+01:00", ["00:00", "01:00", "02:00"]),
        # The night in October in which 02:30 (in London 01:30) comes twice: once, the first time.
        (
            "30 2 * * *",
            BERLIN,
            "2026-10-24T12:00:00+02:00",
            ["2026-10-25T00:30", "2026-10-26T01:30"],
        ),
        (
            "30 1 * * *",
            "Europe/London",
            "2026-10-24T12:00:00+01:00",
            ["2026-10-25T00:30", "2026-10-26T01:30"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00:00-04:00",
            ["2026-11-01T05:30", "2026-11-02T06:30"],
        ),
        # Asked in the second of the two hours: the first 02:30 is over.
        ("30 2 * * *", BERLIN, "2026-10-25T01:15:00Z", ["2026-10-26T01:30"]),
        ("*/30 * * * *", BERLIN, "2026-10-25T02:20:00+02:00", ["00:30", "01:00", "01:30"]),
        ("0 0 29 2 *", "UTC", "2026-11-23T12:00:00Z", ["2028-02-29T00:00", "2032-02-29T00:00"]),
    ],
)
def test_crontabs(cron: str, zone: str, after: str, expected: list[str]) -> None:
    moment = at(after)
    for wanted in expected:
        moment = push.next_cron(cron, zone, moment)
        assert wanted in rfc3339(moment)
        assert rfc3339(moment).endswith(":00Z")


@given(
    st.sampled_from(["30 2 * * *", "30 1 * * *", "0 3 * * *", "*/7 * * * *", "15 */3 * * *"]),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu"]),
    st.integers(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")),
)
def test_the_next_time_is_always_ahead_and_never_far(cron: str, zone: str, after: Millis) -> None:
    found = push.next_cron(cron, zone, after)
    assert after < found <= after + 25 * HOUR + 30 * MINUTE


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"cron": "every day"}, "$.cron", "five fields"),
        ({"cron": "* * * * * *"}, "$.cron", "five fields"),
        ({"cron": "61 * * * *"}, "$.cron", "bad minute"),
        ({"cron": "0 0 30 2 *"}, "$.cron", "cannot be read"),
        ({"cron": "0 0 * * *", "timezone": "Mars/Olympus"}, "$.timezone", "no time zone"),
        ({"timezone": "../../etc/passwd"}, "$.timezone", "no time zone"),
        ({"timezone": "Europe"}, "$.timezone", "no time zone"),
        ({"retry_interval_seconds": 10}, "$.retry_interval_seconds", "leave it null"),
    ],
)
def test_what_a_push_monitor_cannot_be(fields: dict[str, Any], path: str, words: str) -> None:
    (problem,) = problems(normalised(spec(**fields)))
    assert problem.path == path
    assert words in problem.message


def test_one_missed_ping_is_enough_unless_more_are_wanted() -> None:
    assert spec().confirmations == 1
    assert problems(normalised(spec(cron=" 0  2 * * * "))) == []
    assert normalised(spec(cron=" 0  2 * * * ")).cron == "0 2 * * *"  # type: ignore[union-attr]


def test_deadlines() -> None:
    hourly = spec(interval_seconds=3600, grace_seconds=300)
    beat = push.begun(hourly, NOON)
    assert beat.deadline_at == NOON + HOUR + 5 * MINUTE
    beat = push.pinged(hourly, NOON + 10 * MINUTE)
    assert beat == Beat(
        base_at=NOON + 10 * MINUTE,
        last_at=NOON + 10 * MINUTE,
        deadline_at=NOON + 10 * MINUTE + HOUR + 5 * MINUTE,
    )
    late = push.missed(hourly, beat, beat.deadline_at)
    assert late.deadline_at == beat.deadline_at + HOUR, "the next slot has its own deadline"
    # Nobody looked for a day: one miss, and the next deadline lies ahead.
    later = push.missed(hourly, beat, beat.deadline_at + DAY)
    assert beat.deadline_at + DAY < later.deadline_at <= beat.deadline_at + DAY + HOUR
    assert (later.deadline_at - beat.deadline_at) % HOUR == 0
    nightly = spec(cron="0 2 * * *", timezone=BERLIN, grace_seconds=600)
    assert push.begun(nightly, NOON).deadline_at == at("2026-11-24T01:10:00Z")
    missed = push.missed(nightly, push.begun(nightly, NOON), at("2026-11-24T01:10:00Z"))
    assert missed.deadline_at == at("2026-11-25T01:10:00Z")


def test_a_job_that_started_has_the_grace_to_end() -> None:
    hourly = spec(interval_seconds=3600, grace_seconds=300)
    beat = push.started(hourly, push.pinged(hourly, NOON), NOON + 30 * MINUTE)
    assert beat.deadline_at == NOON + 35 * MINUTE
    reading = push.absence(hourly, beat)
    assert (reading.failure, reading.detail) == (Failure.MISSED, "unfinished")
    assert (
        reading.error
        == "the job that started at 2026-11-23 12:30:00 UTC has not ended within 5 min"
    )
    after = push.missed(hourly, beat, beat.deadline_at)
    assert after.started_at is None
    assert after.deadline_at == NOON + 30 * MINUTE + HOUR + 5 * MINUTE


def test_after_an_absence_no_job_is_late_at_once() -> None:
    minutely = spec(interval_seconds=60, grace_seconds=10)
    beat = push.pinged(minutely, NOON)
    gone, back = NOON + 59 * SECOND, NOON + HOUR
    after = push.excused(minutely, beat, gone, back)
    # The deadline shifts by the absence and one grace; and its next ping can still come in time.
    assert after.deadline_at >= beat.deadline_at + (back - gone) + 10 * SECOND
    assert after.deadline_at >= back + 20 * SECOND
    assert after.deadline_at <= back + 60 * SECOND + 20 * SECOND
    assert push.excused(minutely, beat, back, back) == beat


def test_a_nightly_ping_lost_in_an_absence_is_not_missed() -> None:
    nightly = spec(cron="0 2 * * *", grace_seconds=600)
    beat = push.pinged(nightly, at("2026-11-23T02:01:00Z"))
    after = push.excused(nightly, beat, at("2026-11-24T01:59:00Z"), at("2026-11-24T02:30:00Z"))
    assert after.deadline_at == at("2026-11-25T02:20:00Z")
    # Absent at another time of the day: only the shift.
    after = push.excused(nightly, beat, at("2026-11-23T12:00:00Z"), at("2026-11-23T12:05:00Z"))
    assert after.deadline_at == at("2026-11-24T02:25:00Z")


@given(
    st.integers(10, 86_400),
    st.integers(0, 86_400),
    st.integers(0, 10 * DAY),
    st.integers(1, 10 * DAY),
    st.booleans(),
)
def test_whatever_the_absence_the_deadline_lies_ahead(
    interval: int, grace: int, gone_after: int, absent: int, running: bool
) -> None:
    every = spec(interval_seconds=interval, grace_seconds=grace)
    beat = push.pinged(every, NOON)
    if running:
        beat = push.started(every, beat, NOON + SECOND)
    gone = NOON + min(gone_after, beat.deadline_at - NOON)
    after = push.excused(every, beat, gone, gone + absent)
    assert after.deadline_at >= gone + absent + grace * SECOND
    assert after.deadline_at >= beat.deadline_at + absent + grace * SECOND
    latest = max(
        beat.deadline_at + absent + grace * SECOND, gone + absent + (interval + 2 * grace) * SECOND
    )
    assert after.deadline_at <= max(latest, NOON + (interval + 2 * grace + 1) * SECOND)


def test_a_clock_that_was_set_back_delays_nothing_for_long() -> None:
    hourly = spec(interval_seconds=3600, grace_seconds=60)
    beat = push.pinged(hourly, NOON)
    after = push.turned_back(hourly, beat, NOON - 365 * DAY)
    assert after.deadline_at == NOON - 365 * DAY + HOUR + 2 * MINUTE
    assert after.last_at == NOON - 365 * DAY


def test_another_schedule_is_not_late_at_once() -> None:
    daily = spec(interval_seconds=86_400)
    beat = push.pinged(daily, NOON)
    now = NOON + 5 * HOUR
    hourly = spec(interval_seconds=3600)
    after = push.reconfigured(hourly, beat, now)
    assert (after.deadline_at, after.last_at) == (now + HOUR + MINUTE, NOON)
    longer = push.reconfigured(spec(interval_seconds=7 * 86_400), beat, now)
    assert longer.deadline_at == NOON + 7 * DAY + MINUTE


def said(
    every: PushSpec, ping: Ping, beat: Beat | None = None, now: Millis = NOON
) -> tuple[Any, ...]:
    reading = push.reading_of(ping, beat or push.begun(every, now), now)
    verdict = judge(every, reading, now=now)
    return (
        verdict.result,
        verdict.failure,
        verdict.detail,
        verdict.message,
        reading.timings.total_ms,
    )


def test_what_pings_say() -> None:
    every = spec()
    assert said(every, Ping()) == (Result.UP, None, None, None, None)
    assert said(every, Ping(exit_status=0)) == (Result.UP, None, None, None, None)
    assert said(every, Ping(exit_status=3, text="disk\nfull")) == (
        Result.DOWN,
        Failure.STATUS,
        "exit_status",
        "the job ended with exit status 3: disk full",
        None,
    )
    assert said(every, Ping(kind=PingKind.FAIL))[1:4] == (
        Failure.STATUS,
        "fail",
        "the job says that it failed",
    )
    running = push.started(every, push.begun(every, NOON), NOON)
    assert said(every, Ping(), running, NOON + 1500)[4] == 1500
    assert said(every, Ping(took_ms=42.42), running, NOON + 1500)[4] == 42.4
    slow = spec(degraded_after_ms=1000)
    assert said(slow, Ping(), running, NOON + 1500)[:4] == (
        Result.DEGRADED,
        None,
        "slow",
        "the job took 1500 ms, more than 1000 ms",
    )
    assert said(spec(invert=True), Ping())[:2] == (Result.DOWN, Failure.MISMATCH)
    late = push.absence(every, push.begun(every, NOON))
    assert judge(spec(invert=True), late, now=NOON).result is Result.UP


def test_what_an_absence_says() -> None:
    hourly = spec(interval_seconds=3600)
    new = push.absence(hourly, push.begun(hourly, NOON))
    assert (new.failure, new.detail) == (Failure.MISSED, "never")
    assert new.error == (
        "no ping has ever come; one was due at 2026-11-23 13:00:00 UTC, and 60 s of grace are over"
    )
    late = push.absence(
        spec(cron="0 2 * * *", timezone=BERLIN, grace_seconds=0), push.pinged(hourly, NOON)
    )
    assert late.error == (
        "no ping since 2026-11-23 12:00:00 UTC; one was due at 2026-11-24 01:00:00 UTC "
        "(02:00 Europe/Berlin), and there is no grace"
    )


def test_texts_are_cut_and_cleaned() -> None:
    assert push.shortened("a\x1b[31mb\r\n\x00c\n") == "a [31mb \n c"
    assert len(push.shortened("ä" * 5000).encode()) == 4096
