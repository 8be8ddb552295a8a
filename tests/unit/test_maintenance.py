"""When windows are: both edges of summer time, rules, crontabs, and what is refused."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from netpulse.model.maintenance import Coverage, Maintenance, Schedule, State, Window, shown
from netpulse.model.time import DAY, HOUR, MINUTE, Millis, parse_rfc3339, rfc3339
from netpulse.model.watch import Status, Watch
from netpulse.rules import maintenance as rules
from netpulse.rules.push import ScheduleError

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def at(text: str) -> Millis:
    return parse_rfc3339(text)


def plan(begin: str, **fields: object) -> Schedule:
    given: dict[str, object] = {"starts_at": at(begin), "duration_minutes": 60}
    return Schedule(**(given | fields))  # type: ignore[arg-type]


def starts(schedule: Schedule, now: str, count: int = 3) -> list[str]:
    return [rfc3339(window.start) for window in rules.windows(schedule, at(now), count)]


def said(schedule: Schedule, now: str = "2026-03-01T00:00:00Z") -> list[tuple[str, str]]:
    return [(problem.path, problem.message) for problem in rules.problems(schedule, at(now))]


class TestEdgesOfSummerTime:
    """Berlin skips 02:00 to 03:00 on 2026-03-29 and shows it twice on 2026-10-25; New York skips
    02:00 to 03:00 on 2026-03-08 and shows 01:00 to 02:00 twice on 2026-11-01."""

    @pytest.mark.parametrize("rule", [{"rrule": "FREQ=DAILY"}, {"cron": "30 2 * * *"}])
    def test_a_time_that_is_skipped_comes_later_by_the_gap(self, rule: dict[str, str]) -> None:
        berlin = plan("2026-03-20T01:30:00Z", timezone=BERLIN, **rule)
        assert starts(berlin, "2026-03-28T12:00:00Z") == [
            "2026-03-29T01:30:00Z",  # 03:30 there
            "2026-03-30T00:30:00Z",
            "2026-03-31T00:30:00Z",
        ]
        new_york = plan("2026-03-01T07:30:00Z", timezone=NEW_YORK, **rule)
        assert starts(new_york, "2026-03-07T12:00:00Z") == [
            "2026-03-08T07:30:00Z",  # 03:30 there
            "2026-03-09T06:30:00Z",
            "2026-03-10T06:30:00Z",
        ]

    @pytest.mark.parametrize("kind", ["rrule", "cron"])
    def test_a_time_that_is_there_twice_comes_once(self, kind: str) -> None:
        rule = {"rrule": "FREQ=DAILY"} if kind == "rrule" else {"cron": "30 2 * * *"}
        berlin = plan("2026-10-20T00:30:00Z", timezone=BERLIN, **rule)
        assert starts(berlin, "2026-10-24T12:00:00Z") == [
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00Z",
            "2026-10-27T01:30:00Z",
        ]
        rule = {"rrule": "FREQ=DAILY"} if kind == "rrule" else {"cron": "30 1 * * *"}
        new_york = plan("2026-10-20T05:30:00Z", timezone=NEW_YORK, **rule)
        assert starts(new_york, "2026-10-31T12:00:00Z") == [
            "2026-11-01T05:30:00Z",
            "2026-11-02T06:30:00Z",
            "2026-11-03T06:30:00Z",
        ]

    def test_how_long_it_lasts_is_elapsed_time(self) -> None:
        schedule = plan(
            "2026-03-20T00:30:00Z", rrule="FREQ=DAILY", timezone=BERLIN, duration_minutes=120
        )
        (window,) = rules.windows(schedule, at("2026-03-28T12:00:00Z"), 1)
        assert window == Window(at("2026-03-29T00:30:00Z"), at("2026-03-29T02:30:00Z"))
        assert rules.on_the_wall(window.end, BERLIN).isoformat() == "2026-03-29T04:30:00"

    def test_two_local_times_that_are_one_moment_are_one_window(self) -> None:
        schedule = plan(
            "2026-03-20T00:00:00Z", rrule="FREQ=DAILY;BYHOUR=2,3;BYMINUTE=30", timezone=BERLIN
        )
        assert starts(schedule, "2026-03-28T12:00:00Z", 2) == [
            "2026-03-29T01:30:00Z",
            "2026-03-30T00:30:00Z",
        ]

    def test_what_a_form_says_is_read_the_same_way(self) -> None:
        gap = datetime.fromisoformat("2026-03-29T02:30")
        assert rfc3339(rules.moment_of(gap, BERLIN)) == "2026-03-29T01:30:00Z"
        twice = datetime.fromisoformat("2026-10-25T02:30")
        assert rfc3339(rules.moment_of(twice, BERLIN)) == "2026-10-25T00:30:00Z"


class TestRules:
    @pytest.mark.parametrize(
        ("rrule", "found"),
        [
            ("FREQ=MONTHLY;BYDAY=2TU", ["2026-03-10", "2026-04-14", "2026-05-12"]),
            ("FREQ=MONTHLY;BYDAY=-1SU", ["2026-03-29", "2026-04-26", "2026-05-31"]),
            ("FREQ=MONTHLY;BYMONTHDAY=31", ["2026-03-31", "2026-05-31", "2026-07-31"]),
            ("FREQ=WEEKLY;BYDAY=SA,SU", ["2026-03-07", "2026-03-08", "2026-03-14"]),
            ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", ["2026-03-02", "2026-03-16", "2026-03-30"]),
            ("FREQ=DAILY;COUNT=2", ["2026-03-02", "2026-03-03"]),
            ("FREQ=DAILY;UNTIL=20260303", ["2026-03-02", "2026-03-03"]),
            ("FREQ=DAILY;UNTIL=20260303T020000Z", ["2026-03-02", "2026-03-03"]),
            ("FREQ=DAILY;UNTIL=20260303T015959Z", ["2026-03-02"]),
            ("RRULE:freq=yearly;BYMONTH=2;BYMONTHDAY=29", ["2028-02-29", "2032-02-29"]),
            ("FREQ=DAILY;UNTIL=99991231", ["2026-03-02", "2026-03-03", "2026-03-04"]),
        ],
    )
    def test_days(self, rrule: str, found: list[str]) -> None:
        schedule = plan("2026-03-02T02:00:00Z", rrule=rrule)
        shown = starts(schedule, "2026-03-01T00:00:00Z", len(found) if "29" in rrule else 3)
        assert [text[:10] for text in shown] == found

    def test_until_is_by_the_clock_of_the_zone(self) -> None:
        # 23:30 in New York is 04:30 of the next day in UTC.
        schedule = plan(
            "2026-01-05T04:30:00Z", rrule="FREQ=DAILY;UNTIL=20260105", timezone=NEW_YORK
        )
        assert starts(schedule, "2026-01-01T00:00:00Z") == [
            "2026-01-05T04:30:00Z",
            "2026-01-06T04:30:00Z",
        ]

    def test_the_window_that_lasts_comes_first(self) -> None:
        schedule = plan("2026-03-02T02:00:00Z", rrule="FREQ=DAILY")
        assert starts(schedule, "2026-03-04T02:59:59Z", 1) == ["2026-03-04T02:00:00Z"]
        assert starts(schedule, "2026-03-04T03:00:00Z", 1) == ["2026-03-05T02:00:00Z"]
        ended = rules.next_window(
            schedule, at("2026-03-04T02:30:00Z"), ended_through=at("2026-03-04T02:00:00Z")
        )
        assert ended is not None
        assert ended.start == at("2026-03-05T02:00:00Z")

    @pytest.mark.parametrize(
        ("rrule", "word"),
        [
            ("FREQ=SECONDLY", "FREQ is DAILY"),
            ("FREQ=MINUTELY", "FREQ is DAILY"),
            ("FREQ=HOURLY", "BYHOUR=0,6,12,18"),
            ("BYDAY=MO", "FREQ is DAILY"),
            ("FREQ=DAILY;BYSECOND=1", "by the minute"),
            ("FREQ=DAILY;BYEASTER=0", "BYEASTER is no part"),
            ("FREQ=DAILY\nEXDATE:20260305T020000Z", "FREQ is DAILY"),
            ("EXDATE:20260305T020000Z", "only one RRULE"),
            ("FREQ=DAILY;EXDATE=20260305", "only one RRULE"),
            ("DTSTART:20260305T020000Z", "starts_at says"),
            ("FREQ=DAILY;COUNT=1;UNTIL=20270101", "COUNT or UNTIL"),
            ("FREQ=DAILY;COUNT=0", "COUNT is a whole number"),
            ("FREQ=DAILY;INTERVAL=-1", "INTERVAL is a whole number"),
            ("FREQ=DAILY;UNTIL=20261301", "UNTIL is a date"),
            ("FREQ=DAILY;UNTIL=soon", "UNTIL is a date"),
            ("FREQ=DAILY;BYDAY=XX", "it cannot be read"),
            ("FREQ=DAILY;BYDAY=", "it cannot be read"),
            ("FREQ=DAILY;BYHOUR=25", "it cannot be read"),
            ("FREQ=DAILY;BYMONTHDAY=nine", "it cannot be read"),
            ("FREQ=DAILY;FREQ=DAILY", "twice"),
            ("FREQ=DAILY;BYHOUR=1,2,3,4,5;BYMINUTE=1,2,3,4,5", "24 times a day"),
            ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "no time that is still to come"),
            ("FREQ=DAILY;UNTIL=20260101", "no time that is still to come"),
            ("nonsense", "no part of an RRULE"),
            ("FREQ=DÄGLICH", "ASCII"),
        ],
    )
    def test_what_is_refused_says_why(self, rrule: str, word: str) -> None:
        ((path, message),) = said(plan("2026-03-02T02:00:00Z", rrule=rrule))
        assert path == "$.rrule"
        assert word in message

    def test_a_rule_that_never_comes_is_found_out_soon(self) -> None:
        begun = time.process_time()
        for rrule in ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;INTERVAL=7;BYDAY=TU"):
            assert said(plan("2026-03-02T02:00:00Z", rrule=rrule))
        assert time.process_time() - begun < 10

    @pytest.mark.parametrize(
        ("cron", "word"),
        [
            ("* * * *", "five fields"),
            ("0 0 30 2 *", "cannot be read"),
            ("61 * * * *", "cannot be read"),
            ("", "five fields"),
        ],
    )
    def test_crontabs_that_are_none(self, cron: str, word: str) -> None:
        ((path, message),) = said(plan("2026-03-02T02:00:00Z", cron=cron))
        assert path == "$.cron"
        assert word in message

    def test_a_crontab_begins_with_the_plan(self) -> None:
        schedule = plan("2026-03-05T00:00:00Z", cron="0 2 * * *", timezone=NEW_YORK)
        assert starts(schedule, "2026-03-01T00:00:00Z", 2) == [
            "2026-03-05T07:00:00Z",
            "2026-03-06T07:00:00Z",
        ]


class TestPlans:
    def test_once(self) -> None:
        schedule = Schedule(
            starts_at=at("2026-03-02T02:00:00Z"), ends_at=at("2026-03-02T04:00:00Z")
        )
        assert said(schedule) == []
        assert starts(schedule, "2026-03-02T03:00:00Z") == ["2026-03-02T02:00:00Z"]
        assert starts(schedule, "2026-03-02T04:00:00Z") == []
        ((path, message),) = said(schedule, "2026-03-02T04:00:00Z")
        assert path == "$.ends_at"
        assert "over already" in message

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"duration_minutes": None}, "$.ends_at"),
            ({"duration_minutes": None, "ends_at": at("2026-03-02T02:00:00Z")}, "$.ends_at"),
            ({"duration_minutes": None, "ends_at": at("2026-03-02T02:00:30Z")}, "$.ends_at"),
            ({"duration_minutes": None, "ends_at": at("2026-04-02T02:00:00Z")}, "$.ends_at"),
            ({"ends_at": at("2026-03-02T03:00:00Z")}, "$.duration_minutes"),
            ({"rrule": "FREQ=DAILY", "cron": "0 2 * * *"}, "$.cron"),
            ({"rrule": "FREQ=DAILY", "ends_at": at("2026-03-02T03:00:00Z")}, "$.ends_at"),
            ({"rrule": "FREQ=DAILY", "duration_minutes": None}, "$.duration_minutes"),
            ({"rrule": "FREQ=DAILY", "duration_minutes": 1441}, "$.duration_minutes"),
            ({"rrule": "FREQ=DAILY", "timezone": "Mars/Base"}, "$.timezone"),
            (
                {
                    "duration_minutes": None,
                    "ends_at": at("2026-03-02T03:00:00Z"),
                    "timezone": "Mars/Base",
                },
                "$.timezone",
            ),
            ({"rrule": "FREQ=DAILY", "starts_at": at("2046-01-01T00:00:00Z")}, "$.starts_at"),
        ],
    )
    def test_what_does_not_go_together(self, changes: dict[str, object], path: str) -> None:
        assert [found for found, _ in said(plan("2026-03-02T02:00:00Z", **changes))] == [path]  # type: ignore[arg-type]

    def test_windows_that_touch_are_allowed(self) -> None:
        assert said(plan("2026-03-02T02:00:00Z", rrule="FREQ=DAILY", duration_minutes=1440)) == []

    def test_coverage(self) -> None:
        assert rules.covers(Coverage(all=True), "a", ())
        assert rules.covers(Coverage(monitor_ids=("a", "b")), "b", ())
        assert rules.covers(Coverage(tags=("shop", "web")), "c", ("web",))
        assert not rules.covers(Coverage(tags=("shop",)), "c", ("web",))
        assert not rules.covers(Coverage(monitor_ids=("a",)), "c", ("a",))

    def test_the_state_follows_the_window(self) -> None:
        start = at("2026-03-02T02:00:00Z")
        item = Maintenance(
            id="m",
            org_id="o",
            title="Move",
            schedule=Schedule(starts_at=start, ends_at=start + HOUR),
            coverage=Coverage(all=True),
            next=Window(start, start + HOUR),
            created_at=start - DAY,
        )
        assert item.state(start - 1) is State.PLANNED
        assert item.state(start) is State.ACTIVE
        assert item.state(start + HOUR - 1) is State.ACTIVE
        assert item.state(start + HOUR) is State.OVER

    def test_windows_that_touch_are_one(self) -> None:
        found = rules.merged(
            [Window(5, 9), Window(0, 2), Window(2, 4), Window(6, 7), Window(11, 11)]
        )
        assert found == [Window(0, 4), Window(5, 9)]

    def test_a_paused_monitor_stays_paused(self) -> None:
        down, paused = (Watch(status=one, since=1) for one in (Status.DOWN, Status.PAUSED))
        window = Window(10, 20)
        assert shown(down, window) == Watch(status=Status.MAINTENANCE, since=10)
        assert shown(down, None) is down
        assert shown(paused, window) is paused


def test_an_unreadable_zone_says_so() -> None:
    with pytest.raises(ScheduleError, match="no time zone"):
        rules.moment_of(datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None), "Mars/Base")


def test_an_hour_of_minutes_is_no_endless_walk() -> None:
    schedule = plan("2017-01-01T00:00:00Z", cron="* * * * *", duration_minutes=1)
    found = rules.windows(schedule, at("2026-03-02T02:00:00Z"), 60)
    assert {window.end - window.start for window in found} == {MINUTE}
