"""What the world is told: safe words, the worst state, and days that add up."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from netpulse.model.board import BoardDay, BoardIncident, BoardService, PublicStatus
from netpulse.model.ids import is_id, public_id
from netpulse.model.incident import Impact, Incident, IncidentStatus, Origin, TimelineEntry
from netpulse.model.maintenance import Window
from netpulse.model.time import DAY, HOUR, MINUTE
from netpulse.model.watch import Status
from netpulse.rules import boards
from netpulse.rules.days import Day
from tests.clock import START

OPERATIONAL, DEGRADED, OUTAGE, MAINTENANCE, UNKNOWN = PublicStatus
SECRET = "db01.internal:5432 refused"

AUTOMATIC = Incident(
    id="incident",
    org_id="org",
    title=f"Database is down: {SECRET}",
    status=IncidentStatus.INVESTIGATING,
    origin=Origin.CHECK,
    monitor_ids=("monitor",),
    started_at=START,
    reason=SECRET,
    root_cause=SECRET,
    created_at=START,
)
MANUAL = replace(
    AUTOMATIC, origin=Origin.MANUAL, title="Fire in the machine room", monitor_ids=("monitor", "x")
)


def entry(kind: str, minutes: int, **more: object) -> TimelineEntry:
    return TimelineEntry(
        id="entry",
        incident_id="incident",
        at=START + minutes * MINUTE,
        kind=kind,
        **more,  # type: ignore[arg-type]
    )


def told(incident: Incident, *timeline: TimelineEntry) -> BoardIncident:
    return boards.incident_of("page", incident, timeline, {"monitor": "Shop"})


def lines(incident: BoardIncident) -> list[tuple[str | None, str]]:
    return [(each.status and each.status.value, each.text) for each in incident.updates]


class TestAutomatic:
    def test_nothing_of_the_inside_is_told(self) -> None:
        found = told(
            AUTOMATIC,
            entry("opened", 0, message=SECRET, status=IncidentStatus.INVESTIGATING),
            entry("check", 0, message=SECRET),
            entry("confirmed", 1, message=f"Confirmed by 2 failing checks in a row: {SECRET}"),
            entry("notice", 1, message=f"On call was told of {SECRET}"),
            entry("acknowledged", 2, message="Acknowledged by alice@acme.example"),
            entry("update", 3, message=SECRET),
            entry("update", 4, message=SECRET, status=IncidentStatus.IDENTIFIED),
            entry("root_cause", 5, message=SECRET),
            entry("status", 6, status=IncidentStatus.MONITORING),
            entry("maintenance", 6, message="Maintenance begins"),
            entry("resolved", 7, message=f"Recovered after 7 min: {SECRET}"),
        )
        assert SECRET not in repr(found)
        assert "alice" not in repr(found)
        assert "'incident'" not in repr(found)
        assert "'monitor'" not in repr(found)
        assert found.title == "Outage of Shop"
        assert lines(found) == [
            ("investigating", "Shop does not work as it should."),
            ("identified", "The cause is known."),
            ("monitoring", "It should work again; we are watching whether it stays so."),
            ("resolved", "Resolved."),
        ]
        assert found.changed_at == START + 7 * MINUTE

    def test_what_somebody_says_for_the_public_is_told(self) -> None:
        found = told(
            AUTOMATIC,
            entry("update", 1, message="We are on it.", is_public=True),
            entry(
                "update", 2, message="Half way.", is_public=True, status=IncidentStatus.MONITORING
            ),
        )
        assert lines(found) == [(None, "We are on it."), ("monitoring", "Half way.")]

    @pytest.mark.parametrize(
        ("resolution", "text"),
        [
            ("recovered", "Shop works again."),
            ("paused", "Shop is not watched any more."),
            ("deleted", "Shop is not watched any more."),
            ("manual", "Resolved."),
        ],
    )
    def test_how_it_ends(self, resolution: str, text: str) -> None:
        over = replace(AUTOMATIC, resolved_at=START + HOUR, resolution=resolution)
        found = told(over, entry("resolved", 60, message=SECRET))
        assert lines(found) == [("resolved", text)]


class TestManual:
    def test_it_is_told_as_it_was_written(self) -> None:
        found = told(
            MANUAL,
            entry("opened", 0, message="It burns.", status=IncidentStatus.INVESTIGATING),
            entry("update", 1, message="It burns less.", status=IncidentStatus.MONITORING),
            entry("update", 2, message="Be patient."),
            entry("root_cause", 3, message=SECRET),
            entry("status", 4, status=IncidentStatus.RESOLVED),
        )
        assert found.title == "Fire in the machine room"
        assert SECRET not in repr(found)
        assert lines(found) == [
            ("investigating", "It burns."),
            ("monitoring", "It burns less."),
            (None, "Be patient."),
            ("resolved", "Resolved."),
        ]
        assert found.services == (public_id("page", "monitor"),)

    def test_a_title_alone_is_not_said_twice(self) -> None:
        found = told(MANUAL, entry("opened", 0, message=MANUAL.title))
        assert lines(found) == [("investigating", "We are looking into it.")]


def test_public_ids_are_the_pages_own() -> None:
    assert is_id(public_id("page", "monitor"))
    assert public_id("page", "monitor") == public_id("page", "monitor")
    assert public_id("page", "monitor") != public_id("other", "monitor")


def service(*states: PublicStatus) -> list[tuple[PublicStatus, bool]]:
    return [(each, True) for each in states]


@pytest.mark.parametrize(
    ("services", "state"),
    [
        ([], UNKNOWN),
        (service(OPERATIONAL), OPERATIONAL),
        (service(OPERATIONAL, MAINTENANCE), MAINTENANCE),
        (service(OPERATIONAL, MAINTENANCE, UNKNOWN), UNKNOWN),
        (service(UNKNOWN, DEGRADED, OPERATIONAL), DEGRADED),
        (service(UNKNOWN, DEGRADED, OUTAGE), OUTAGE),
        ([(UNKNOWN, False)], UNKNOWN),
        ([(UNKNOWN, False), (OPERATIONAL, True)], OPERATIONAL),
    ],
)
def test_the_worst_service_names_the_page(
    services: list[tuple[PublicStatus, bool]], state: PublicStatus
) -> None:
    assert boards.overall(services, []) is state


@pytest.mark.parametrize(
    ("impact", "status", "state"),
    [
        (Impact.NONE, IncidentStatus.INVESTIGATING, OPERATIONAL),
        (Impact.MINOR, IncidentStatus.INVESTIGATING, DEGRADED),
        (Impact.MAJOR, IncidentStatus.IDENTIFIED, OUTAGE),
        (Impact.CRITICAL, IncidentStatus.INVESTIGATING, OUTAGE),
        (Impact.CRITICAL, IncidentStatus.MONITORING, DEGRADED),
    ],
)
def test_an_open_manual_incident_speaks_too(
    impact: Impact, status: IncidentStatus, state: PublicStatus
) -> None:
    said = told(replace(MANUAL, impact=impact, status=status))
    assert boards.overall(service(OPERATIONAL), [said]) is state
    over = told(replace(MANUAL, impact=impact, resolved_at=START))
    assert boards.overall(service(OPERATIONAL), [over]) is OPERATIONAL
    # The checks speak for themselves.
    assert boards.overall(service(OPERATIONAL), [told(AUTOMATIC)]) is OPERATIONAL


def test_states() -> None:
    assert {each.value: boards.status_of(each) for each in Status} == {
        "pending": UNKNOWN,
        "up": OPERATIONAL,
        "degraded": DEGRADED,
        "down": OUTAGE,
        "maintenance": MAINTENANCE,
        "paused": UNKNOWN,
        "unknown": UNKNOWN,
    }


def test_days() -> None:
    named = [
        Day(start=START + number * DAY, status=word, up_seconds=10, down_seconds=number)
        for number, word in enumerate(
            ("none", "up", "degraded", "down", "maintenance", "paused", "unknown")
        )
    ]
    found = [boards.day_of(day) for day in named]
    assert [day.status for day in found] == [
        UNKNOWN,
        OPERATIONAL,
        DEGRADED,
        OUTAGE,
        MAINTENANCE,
        UNKNOWN,
        UNKNOWN,
    ]
    assert [day.known for day in found] == [False] + [True] * 6
    of = BoardService(id="s", name="s", status=OPERATIONAL, since=START, days=tuple(found))
    assert boards.runs(of) == [
        ("none", 1),
        ("up", 1),
        ("degraded", 1),
        ("down", 1),
        ("maintenance", 1),
        ("unknown", 2),
    ]
    assert boards.uptime_of(found) == 76.923
    assert boards.uptime_of([]) is None
    day = BoardDay(start=START, status=OPERATIONAL, up_seconds=86_399, down_seconds=1)
    assert boards.uptime_of([day]) == 99.9988


def test_what_lies_in_maintenance_altogether_is_no_news() -> None:
    over = replace(AUTOMATIC, resolved_at=START + HOUR)
    now = START + DAY
    assert boards.is_excused(over, [Window(START - 1, START + HOUR)], now)
    assert boards.is_excused(over, [Window(START, START + HOUR)], now)
    assert not boards.is_excused(over, [Window(START, START + HOUR - 1)], now)
    assert not boards.is_excused(over, [Window(START + 1, START + DAY)], now)
    assert not boards.is_excused(over, [], now)
    assert not boards.is_excused(AUTOMATIC, [Window(START, now - 1)], now)
    assert boards.is_excused(AUTOMATIC, [Window(START, now)], now)


def test_an_outage_that_has_just_begun_is_on_its_day() -> None:
    before = BoardDay(start=START - DAY, status=OPERATIONAL)
    today = BoardDay(start=START, status=OPERATIONAL, up_seconds=60)
    begun = replace(today, status=OUTAGE, outages=1)
    assert boards.with_now((before, today), OUTAGE) == (before, begun)
    assert boards.with_now((before, begun), OUTAGE) == (before, begun)
    for status in (OPERATIONAL, DEGRADED, MAINTENANCE, UNKNOWN):
        assert boards.with_now((before, today), status) == (before, today)
    assert boards.with_now((), OUTAGE) == ()
