"""What is asked of all monitors at once: lists, counts and the dashboard read no rows for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from netpulse.model.ids import new_id
from netpulse.model.monitor import TcpSpec
from netpulse.model.time import DAY
from netpulse.model.watch import Status
from netpulse.storage import exposure, monitor_list, monitors, overview, parents, quotas, standings
from netpulse.storage.conn import Conn
from netpulse.storage.migrations import m0022_monitors_in_lists
from netpulse.storage.monitor_list import SORTS, MonitorFilter
from tests.plans import Planned
from tests.store import NOW, add_monitor, add_org, play

FEW = 10
MONITORS = 100
"""With few of them SQLite chooses the index anyway."""
TALLIED = "SELECT * FROM monitor_tallies WHERE monitors > 0 ORDER BY 1"
COUNTED = "SELECT org_id, count(*) FROM monitors WHERE deleted_at IS NULL GROUP BY 1 ORDER BY 1"

FILTERS = (
    MonitorFilter(),
    MonitorFilter(status=Status.PENDING),
    MonitorFilter(status=Status.PAUSED),
    MonitorFilter(type="tcp", group="Shops"),
    MonitorFilter(tag="prod", status=Status.PENDING, q=" "),
)
IN_ROWS = {"target", "-target"}
"""Sorts by what is in rows alone."""


@pytest.mark.parametrize("is_known", [False, True])
async def test_no_list_reads_the_rows_of_others(tmp_path: Path, is_known: bool) -> None:
    def act(conn: Conn) -> None:
        org = add_org(conn)
        shop = TcpSpec(name="Shop", target="shop.example:443", tags=("prod",))
        made = [add_monitor(conn, org.id, shop) for _ in range(FEW)]
        # What SQLite knows of a table may be from the day when there was hardly anything in it.
        conn.execute("ANALYZE")
        made += [add_monitor(conn, org.id, shop) for _ in range(MONITORS)]
        if is_known:
            conn.execute("ANALYZE")

        def plans(work: Callable[[Conn], object]) -> set[str]:
            planned = Planned(conn)
            work(planned)
            lines = {line for line in planned.plans if " m " in line or " monitors " in line}
            return lines - {"SEARCH m USING INTEGER PRIMARY KEY (rowid=?)"}

        def of(wanted: MonitorFilter) -> set[str]:
            return plans(lambda on: monitor_list.page(on, org.id, wanted))

        every = "SEARCH m USING COVERING INDEX monitors_by_name (org_id=?)"
        for wanted in FILTERS:
            assert plans(lambda on: monitor_list.matching(on, org.id, wanted)) == {every}  # noqa: B023
            for sort in SORTS.keys() - IN_ROWS:
                lines = of(replace(wanted, sort=sort))
                is_by_age = wanted == MonitorFilter() and sort in {"created_at", "-created_at"}
                by_age = "SEARCH m USING INDEX monitors_by_age (org_id=?)"
                assert lines <= {by_age if is_by_age else every}, (wanted, sort)
        assert plans(lambda on: overview.uncovered(on, org.id, 3)) == {every}
        alone = every.replace(" m ", " monitors ")
        assert plans(lambda on: monitor_list.choices(on, org.id, 5)) == {every}
        assert monitor_list.choices(conn, org.id, 2) == dict.fromkeys(
            [made[0].id, made[1].id], "Shop"
        )
        assert plans(lambda on: overview.lately(on, org.id, NOW)) == {alone}
        assert plans(lambda on: monitor_list.groups(on, org.id)) == {alone}
        assert plans(lambda on: standings.of_all(on, org.id, NOW, NOW + DAY)) >= {alone}
        by_id = "INDEX sqlite_autoindex_monitors_1 (id=?)"
        assert plans(lambda on: standings.together(on, org.id, NOW, NOW + DAY)) == {
            alone,
            f"SEARCH m USING {by_id}",
        }
        assert plans(lambda on: exposure.look(on, org.id, NOW)) >= {f"SEARCH m USING {by_id}"}
        some = [each.id for each in made[:2]]
        assert plans(lambda on: monitor_list.rows_of(on, org.id, some)) == {
            f"SEARCH m USING {by_id}"
        }
        assert plans(lambda on: parents.choices(on, org.id, None, None)) >= {alone}
        assert plans(lambda on: monitors.count(on, org.id)) == set()
        assert plans(lambda on: quotas.used(on, [org.id], NOW)) == {
            "SEARCH m USING PRIMARY KEY (org_id=?)",
            "SEARCH m USING COVERING INDEX memberships_org (org_id=? AND kind=?)",
        }

    await play(tmp_path, act)


async def test_tallies_follow_whatever_becomes_of_a_monitor(tmp_path: Path) -> None:
    def act(conn: Conn) -> None:
        def agree(here: int, everywhere: int) -> None:
            assert conn.all(TALLIED) == conn.all(COUNTED)
            assert monitors.count(conn, org.id) == here
            assert quotas.used(conn, [org.id], NOW)[org.id].monitors == here
            assert monitors.count(conn) == everywhere

        org, other = add_org(conn), add_org(conn, "Other")
        assert monitors.count(conn, new_id(NOW)) == 0
        agree(0, 0)
        made = [add_monitor(conn, org.id) for _ in range(3)]
        add_monitor(conn, other.id)
        agree(3, 4)
        monitors.set_paused(conn, made[0].key, True, NOW)
        agree(3, 4)
        for _ in range(2):
            monitors.set_deleted(conn, made[0].key, NOW)
            agree(2, 3)
        # The migration counts what was there before it.
        sql = m0022_monitors_in_lists.SQL
        (fill,) = (part for part in sql.split(";") if "count(*)" in part)
        conn.execute("DELETE FROM monitor_tallies")
        conn.execute(fill)
        agree(2, 3)

    await play(tmp_path, act)
