"""The account of thousands, summed up where they lie, is the account of each."""

from __future__ import annotations

import random
from pathlib import Path

from netpulse.model.ids import Id
from netpulse.model.monitor import HttpSpec
from netpulse.model.time import HOUR, SECOND, Millis
from netpulse.model.watch import Gap, Span, Status, UnknownReason
from netpulse.rules import uptime
from netpulse.storage import edges, maintenance_spans, runs, spans, standings
from netpulse.storage.conn import Conn
from netpulse.storage.standings import Standing
from netpulse.web.pages.rows import bars
from tests.store import NOW, add_monitor, add_org, opened

STATES = [*Status]
STATES.remove(Status.MAINTENANCE)


def spec(name: str) -> HttpSpec:
    return HttpSpec(name=name, target="https://shop.example/")


def walked(conn: Conn, monitor_id: Id, begun: Millis, end: Millis) -> Standing:
    """Return a monitor's standing by the rules alone."""
    account = uptime.account(
        begun,
        end,
        spans.between(conn, monitor_id, begun, end),
        runs.gaps(conn, begun, end),
        end,
        maintenance_spans.between(conn, monitor_id, begun, end),
    )
    return Standing(
        account.up_seconds + account.degraded_seconds,
        account.down_seconds,
        account.maintenance_seconds,
        account.unknown_reasons[UnknownReason.PAUSED],
        account.period_seconds,
    )


FIELDS = Standing.__struct_fields__


async def test_it_agrees_with_the_account_of_each(tmp_path: Path) -> None:
    dice = random.Random(6)

    def moment() -> Millis:
        # Half seconds, and odd milliseconds that collide within a second.
        return NOW - dice.choice((dice.randrange(80_000), dice.randrange(160) * 500))

    def look(conn: Conn) -> None:
        org = add_org(conn)
        made = {}
        for number in range(60):
            monitor = add_monitor(conn, org.id, spec(f"M{number}"), NOW - HOUR)
            begun = monitor.created_at
            for at in sorted({moment() for _ in range(dice.randrange(9))}):
                spans.put(conn, monitor.id, Span(at, dice.choice(STATES)))
            if number % 5 == 0:
                begun = moment()
                conn.execute("UPDATE monitors SET created_at = ? WHERE id = ?", (begun, monitor.id))
            made[monitor.id] = begun
        conn.execute(
            "INSERT INTO maintenances (id, org_id, title, starts_at, created_at)"
            " VALUES ('plan', ?, 'Work', 0, 0)",
            (org.id,),
        )
        for round_ in range(12):
            if round_ == 4:
                # Nobody watched: stretches that lie over one another, too.
                for _ in range(5):
                    one, two = sorted((moment(), moment()))
                    runs.add_gap(conn, Gap(one, two, UnknownReason.STOPPED))
            if round_ == 8:
                for monitor_id in dice.sample(list(made), 20):
                    conn.execute(
                        "INSERT INTO maintenance_spans VALUES (?, 'plan', ?, ?)",
                        (monitor_id, *sorted((moment(), moment()))),
                    )
            start, end = sorted((moment(), moment()))
            found = standings.of_all(conn, org.id, start, end)
            assert found.keys() == made.keys()
            for monitor_id, created_at in made.items():
                begun = max(start, created_at)
                if begun > end:
                    continue  # made after the period: there is none
                assert found[monitor_id] == walked(conn, monitor_id, begun, end), monitor_id
            fields = ([getattr(one, name) for one in found.values()] for name in FIELDS)
            assert standings.together(conn, org.id, start, end) == Standing(*map(sum, fields))
            some = dice.sample(list(made), 40)
            known = spans.of_some(conn, some, start, end)
            maintained = maintenance_spans.of_some(conn, some, start, end)
            for monitor_id in some:
                assert known.get(monitor_id, []) == spans.between(conn, monitor_id, start, end)
                alone = maintenance_spans.between(conn, monitor_id, start, end)
                assert maintained.get(monitor_id, []) == alone
            every = bars(conn, org.id, list(made.items()), NOW)
            for entry in made.items():
                # Those that are alike are drawn once: nobody gets another's.
                assert bars(conn, org.id, [entry], NOW)[entry[0]] == every[entry[0]]

    async with opened(tmp_path / "data") as db:
        await db.write(look)


async def test_what_it_says_of_one(tmp_path: Path) -> None:
    def look(conn: Conn) -> None:
        org, other = add_org(conn), add_org(conn, "Other")
        shop = add_monitor(conn, org.id, spec("Shop"), NOW - 10 * HOUR)
        spans.put(conn, shop.id, Span(NOW - 10 * HOUR, Status.UP))
        spans.put(conn, shop.id, Span(NOW - 4 * HOUR, Status.DOWN))
        spans.put(conn, shop.id, Span(NOW - 3 * HOUR, Status.DEGRADED))
        gone = add_monitor(conn, org.id, spec("Gone"), NOW - 10 * HOUR)
        edges.retire(conn, org.id, gone.id, NOW)
        theirs = add_monitor(conn, other.id, spec("Theirs"), NOW - 10 * HOUR)
        found = standings.of_all(conn, org.id, NOW - 8 * HOUR, NOW)
        assert standings.together(conn, org.id, NOW - 8 * HOUR, NOW) == found[shop.id]
        hour = HOUR // SECOND
        assert found == {shop.id: Standing(7 * hour, hour, 0, 0, 8 * hour)}
        assert found[shop.id].uptime_percent == 87.5
        assert found[shop.id].known == 8 * hour
        # Made, and never looked at: nothing is known, and nothing can be said.
        (new,) = standings.of_all(conn, other.id, NOW - 8 * HOUR, NOW).items()
        assert new == (theirs.id, Standing(0, 0, 0, 0, 8 * hour))
        assert new[1].uptime_percent is None

    async with opened(tmp_path / "data") as db:
        await db.write(look)
