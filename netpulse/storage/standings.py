"""The account of every monitor of an organization over one period, in a query or two: what lists
sort by, and what a dashboard adds up.

It agrees with `rules.uptime.account` to the second. That walks one monitor's spans in Python; here
thousands are summed up where they lie, and only monitors with maintenance in the period, of which
there are few, are walked.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.maintenance import Window
from netpulse.model.time import SECOND, Millis
from netpulse.model.watch import Gap, UnknownReason
from netpulse.rules import uptime
from netpulse.storage import maintenance_spans, runs, spans
from netpulse.storage.conn import Conn

_CUT = """
WITH mine AS MATERIALIZED (
    SELECT id, max(created_at, ?2) AS begun FROM monitors INDEXED BY monitors_by_name
    WHERE org_id = ?1 AND deleted_at IS NULL
), cut AS (
    SELECT m.id, s.status, max(s.from_ms / 1000, m.begun / 1000) AS a,
        min(ifnull((SELECT min(n.from_ms) FROM spans n
            WHERE n.monitor_id = m.id AND n.from_ms > s.from_ms) / 1000, ?3 / 1000), ?3 / 1000) AS b
    FROM mine m CROSS JOIN spans s ON s.monitor_id = m.id
    WHERE s.from_ms < ?3 AND s.from_ms >= ifnull((SELECT max(p.from_ms) FROM spans p
        WHERE p.monitor_id = m.id AND p.from_ms <= m.begun), m.begun)
)
"""
"""Each monitor's spans in whole Unix seconds from `a` to `b`, cut to the period from ?2 to ?3."""
_HOLES = """, holes AS MATERIALIZED (
    SELECT json_extract(value, '$[0]') AS a, json_extract(value, '$[1]') AS b FROM json_each(?4)
)
"""
"""When nobody watched: ?4 is a list of [from, to], none over another."""
_LOST = (
    "(SELECT ifnull(sum(min(cut.b, h.b) - max(cut.a, h.a)), 0) FROM holes h"
    " WHERE h.a < cut.b AND h.b > cut.a)"
)

_SUMS = (
    "sum((whole - lost) * (status IN ('up', 'degraded'))),"
    " sum((whole - lost) * (status = 'down')), sum(whole * (status = 'paused'))"
)


class Standing(Struct, frozen=True, gc=False):
    """How one monitor's time in the period went, in whole seconds."""

    good: int
    """Up or degraded."""
    down: int
    maintenance: int
    paused: int
    period: int
    """Of which the rest is unknown."""

    @property
    def uptime_percent(self) -> float | None:
        """good / (good + down), rounded down at 4 decimals; None without either."""
        return uptime.percent(self.good, self.good + self.down)

    @property
    def known(self) -> int:
        """Seconds that somebody vouches for."""
        return self.good + self.down + self.maintenance


def of_all(conn: Conn, org_id: Id, start: Millis, end: Millis) -> dict[Id, Standing]:
    """Return the standing of each monitor from `start` (or its making) to `end`, which is now."""
    gaps = runs.gaps(conn, start, end)
    told, holes = _told(gaps)
    rows = conn.all(
        f"{told} SELECT m.id, m.begun, {_SUMS} FROM mine m"
        " LEFT JOIN told ON told.id = m.id WHERE ?4 IS NOT NULL GROUP BY m.id",
        (org_id, start, end, holes),
    )
    maintained = maintenance_spans.of_all(conn, org_id, start, end)
    found = {}
    for monitor_id, begun, good, down, paused in rows:
        windows = maintained.get(monitor_id)
        if windows:
            found[monitor_id] = _walked(conn, monitor_id, begun, end, gaps, windows)
        else:
            period = max(0, end // SECOND - begun // SECOND)
            found[monitor_id] = Standing(good or 0, down or 0, 0, paused or 0, period)
    return found


def together(conn: Conn, org_id: Id, start: Millis, end: Millis) -> Standing:
    """Return the standings of `of_all` added up.

    Where they lie: each of ten thousand rows that came over would wait for the interpreter, which
    the checks keep busy, and the checks for it.
    """
    gaps = runs.gaps(conn, start, end)
    told, holes = _told(gaps)
    maintained = maintenance_spans.of_all(conn, org_id, start, end)
    walked = (msgspec.json.encode(list(maintained)).decode(),)
    row = conn.one(
        f"{told} SELECT {_SUMS},"
        f" (SELECT sum(max(0, ?3 / {SECOND} - m.begun / {SECOND})) FROM mine m"
        " WHERE m.id NOT IN (SELECT value FROM json_each(?5)))"
        " FROM told WHERE ?4 IS NOT NULL AND id NOT IN (SELECT value FROM json_each(?5))",
        (org_id, start, end, holes, *walked),
    )
    assert row is not None, "an aggregate has a row"
    good, down, paused, period = (value or 0 for value in row)
    maintenance = 0
    for monitor_id, begun in conn.all(
        "SELECT m.id, max(m.created_at, ?2) FROM json_each(?3) few"
        " CROSS JOIN monitors m ON m.id = few.value WHERE +m.org_id = ?1 AND m.deleted_at IS NULL",
        (org_id, start, *walked),
    ):
        one = _walked(conn, monitor_id, begun, end, gaps, maintained[monitor_id])
        good, down, paused = good + one.good, down + one.down, paused + one.paused
        maintenance, period = maintenance + one.maintenance, period + one.period
    return Standing(good, down, maintenance, paused, period)


def _told(gaps: list[Gap]) -> tuple[str, str]:
    """Return the beginning of a query, up to the table `told`, and the holes that it is given as
    ?4."""
    holes = [[hole.start, hole.end] for hole in uptime.disjoint(gaps)]
    more, lost = (_HOLES, _LOST) if holes else ("", "0")
    told = (
        f"{_CUT}{more}, told AS (SELECT id, status, b - a AS whole,"
        f" CASE WHEN status = 'paused' THEN 0 ELSE {lost} END AS lost FROM cut WHERE b > a)"
    )
    return told, msgspec.json.encode(holes).decode()


def _walked(
    conn: Conn,
    monitor_id: Id,
    start: Millis,
    end: Millis,
    gaps: list[Gap],
    windows: list[Window],
) -> Standing:
    known = spans.between(conn, monitor_id, start, end)
    account = uptime.account(start, end, known, gaps, end, windows)
    return Standing(
        account.up_seconds + account.degraded_seconds,
        account.down_seconds,
        account.maintenance_seconds,
        account.unknown_reasons[UnknownReason.PAUSED],
        account.period_seconds,
    )
