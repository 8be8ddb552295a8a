"""Lists of incidents: each filter says what it should, and reads no more than it must."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from netpulse.model.ids import new_id
from netpulse.model.incident import Impact, Incident, IncidentStatus, Origin
from netpulse.model.time import DAY, HOUR
from netpulse.storage import considered, incident_list, incidents, overview, telling
from netpulse.storage.conn import Conn
from netpulse.storage.incident_list import IncidentFilter
from netpulse.storage.migrations import m0019_incidents_of_years
from tests.plans import Planned
from tests.store import NOW, add_monitor, add_org, play

TALLIED = "SELECT * FROM incident_tallies WHERE incidents > 0 ORDER BY 1, 2, 3, 4"
COUNTED = (
    "SELECT org_id, status, origin, resolved_at IS NULL, count(*) FROM incidents"
    " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
)
COVERING = "SEARCH i USING COVERING INDEX incidents_"


class Book:
    """Incidents of every kind, of two monitors, an hour apart, and one of somebody else."""

    def __init__(self, conn: Conn) -> None:
        self.conn = conn
        self.org = add_org(conn)
        self.monitors = [add_monitor(conn, self.org.id) for _ in range(2)]
        kinds = [*itertools.product((Origin.MANUAL,), IncidentStatus, self.monitors, range(2))]
        over = (IncidentStatus.RESOLVED,)
        kinds += itertools.product((Origin.CHECK,), over, self.monitors, range(4))
        # Of those that checks open there is one at a time.
        still = (IncidentStatus.INVESTIGATING, IncidentStatus.MONITORING)
        kinds += [
            (Origin.CHECK, status, monitor, 0)
            for status, monitor in zip(still, self.monitors, strict=True)
        ]
        for number, (origin, status, monitor, _) in enumerate(kinds):
            at = NOW + number * HOUR
            is_over = status is IncidentStatus.RESOLVED
            self.write(self.org.id, status, origin, at, at + 1 if is_over else None, monitor.id)
        other = add_org(conn, "Other")
        self.write(other.id, IncidentStatus.INVESTIGATING, Origin.MANUAL, NOW, None, None)
        self.rows = incident_list.page(conn, self.org.id, IncidentFilter(), 0, 100).rows
        assert len(self.rows) == 26

    def write(
        self,
        org_id: str,
        status: IncidentStatus,
        origin: Origin,
        at: int,
        end: int | None,
        monitor_id: str | None,
    ) -> None:
        incident = Incident(
            id=new_id(at),
            org_id=org_id,
            title="Payments fail",
            status=status,
            origin=origin,
            impact=Impact.MAJOR,
            monitor_ids=(monitor_id,) if monitor_id else (),
            started_at=at,
            resolved_at=end,
            created_at=at,
        )
        incidents.insert(self.conn, incident, monitor_id if origin is Origin.CHECK else None)


def fits(incident: Incident, wanted: IncidentFilter) -> bool:
    return (
        wanted.status in {None, incident.status}
        and wanted.is_open in {None, incident.resolved_at is None}
        and wanted.origin in {None, incident.origin}
        and (wanted.monitor_id is None or wanted.monitor_id in incident.monitor_ids)
        and (wanted.start is None or incident.started_at >= wanted.start)
        and (wanted.q is None or wanted.q in incident.title)
    )


async def test_every_filter_gives_what_fits_the_latest_first(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        book = Book(conn)
        for status, is_open, origin, monitor_id, start, q in itertools.product(
            (None, *IncidentStatus),
            (None, True, False),
            (None, *Origin),
            (None, book.monitors[0].id),
            (None, NOW + 9 * HOUR),
            (None, "Pay", "nothing"),
        ):
            wanted = IncidentFilter(
                status=status,
                is_open=is_open,
                origin=origin,
                monitor_id=monitor_id,
                start=start,
                q=q,
            )
            fitting = [incident for incident in book.rows if fits(incident, wanted)]
            for offset, limit in ((0, 100), (1, 3), (26, 20)):
                page = incident_list.page(conn, book.org.id, wanted, offset, limit)
                assert page.total == len(fitting), wanted
                assert page.rows == fitting[offset : offset + limit], wanted

    await play(tmp_path, act)


async def test_no_list_reads_the_whole_table(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        book = Book(conn)
        org_id = book.org.id

        def plans(work: Callable[[Conn], object]) -> list[str]:
            planned = Planned(conn)
            work(planned)
            assert not [line for line in planned.plans if line.startswith("SCAN incident")]
            return [line for line in planned.plans if " i " in line or " incidents " in line]

        def of(wanted: IncidentFilter) -> list[str]:
            return plans(lambda on: incident_list.page(on, org_id, wanted))

        by_id = "SEARCH i USING PRIMARY KEY (id=?)"
        in_order = "SEARCH i USING INDEX incidents_by_start (org_id=?)"
        of_open = "SEARCH i USING INDEX incidents_open (org_id=?)"
        assert of(IncidentFilter()) == [f"{COVERING}by_start (org_id=?)", by_id]
        assert of(IncidentFilter(is_open=True)) == [of_open, by_id]
        assert of(IncidentFilter(is_open=False)) == [in_order, by_id]
        being_looked_into = IncidentFilter(status=IncidentStatus.INVESTIGATING)
        assert of(being_looked_into) == [of_open, by_id]
        assert of(IncidentFilter(status=IncidentStatus.RESOLVED)) == [in_order, by_id]
        manual = IncidentFilter(origin=Origin.MANUAL)
        assert of(manual) == [f"{COVERING}by_hand (org_id=?)", by_id]
        shop_id = book.monitors[0].id
        of_monitor = IncidentFilter(monitor_id=shop_id)
        assert of(of_monitor) == [by_id]
        assert set(of(replace(of_monitor, is_open=True))) == {by_id}
        touching = partial(incident_list.for_monitor, monitor_id=shop_id, start=NOW, end=NOW + DAY)
        for work in (lambda on: incident_list.page(on, org_id, of_monitor), touching):
            planned = Planned(conn)
            work(planned)
            lines = {line.partition(" (")[0] for line in planned.plans if " o " in line}
            assert lines == {
                "SEARCH o USING COVERING INDEX incidents_of_monitor",
                "SEARCH o USING COVERING INDEX incidents_by_hand",
            }
        ended = "SEARCH incidents USING COVERING INDEX incidents_by_end (org_id=?"
        assert plans(lambda on: overview.last_end(on, org_id)) == [f"{ended})"]
        assert plans(lambda on: overview.lately(on, org_id, NOW)) == [
            f"{ended} AND resolved_at=?)",
            f"{ended} AND resolved_at>?)",
        ]

    await play(tmp_path, act)


async def test_what_touches_a_stretch_of_a_monitor(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        book = Book(conn)
        for monitor, start, length in itertools.product(book.monitors, range(26), (1, 5)):
            begin, end = NOW + start * HOUR, NOW + (start + length) * HOUR
            assert incident_list.for_monitor(conn, monitor.id, begin, end) == [
                one
                for one in reversed(book.rows)
                if monitor.id in one.monitor_ids
                and one.started_at < end
                and (one.resolved_at is None or one.resolved_at > begin)
            ]

    await play(tmp_path, act)


async def test_the_transitions_of_an_incident_are_found_by_their_index(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        planned = Planned(conn)
        assert telling._opened_by(planned, "m", "i") is None
        index = "INDEX transitions_incident (incident_id=?)"
        assert planned.plans == [f"SEARCH transitions USING {index}"]
        planned.plans.clear()
        assert considered.of_incident(planned, "i") == []
        assert f"SEARCH t USING {index}" in planned.plans

    await play(tmp_path, act)


async def test_a_status_page_reads_what_is_open_or_new(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        planned = Planned(conn)
        incident_list.of_page(planned, "p", NOW - DAY, 50)
        by_end = "SEARCH o USING COVERING INDEX incidents_by_end (org_id=? AND resolved_at"
        assert [line for line in planned.plans if line.startswith("SEARCH o ")] == [
            f"{by_end}=?)",
            f"{by_end}>?)",
        ]
        planned.plans.clear()
        incident_list.with_news(planned, "p", 9)
        lines = [line for line in planned.plans if "incident_updates" in line]
        assert lines == ["SEARCH incident_updates USING INTEGER PRIMARY KEY (rowid>?)"]

    await play(tmp_path, act)


async def test_tallies_follow_whatever_becomes_of_an_incident(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        book = Book(conn)

        def agree() -> None:
            assert conn.all(TALLIED) == conn.all(COUNTED)

        agree()
        still = next(one for one in book.rows if one.resolved_at is None)
        incidents.close(conn, still, NOW + DAY, "manual", NOW + DAY)
        agree()
        over = next(one for one in book.rows if one.origin is Origin.MANUAL and one.resolved_at)
        again = IncidentStatus.MONITORING
        incidents.patch(conn, book.org.id, over.id, now=NOW + DAY, status=again, title="Again")
        agree()
        (fill,) = (part for part in m0019_incidents_of_years.SQL.split(";") if "GROUP BY" in part)
        conn.execute("DELETE FROM incident_tallies")
        conn.execute(fill)
        agree()
        conn.execute("DELETE FROM incidents")
        assert conn.all(TALLIED) == []

    await play(tmp_path, act)
