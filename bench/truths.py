"""What must be true of the data of bench/soak.py at the end, whatever went wrong meanwhile."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import apsw


def examine(data: Path, ids: dict[str, str], steady: int, taken: list[list[Any]]) -> list[str]:
    """Hold the data of the stopped process against what must be true of it."""
    wrong = []
    for path in [data / "netpulse.db", *data.glob("hot/*.db"), *data.glob("checks/*.db")]:
        with contextlib.closing(apsw.Connection(str(path))) as file:
            said = file.execute("PRAGMA integrity_check").get
            if said != "ok":
                wrong.append(f"{path.name}: {said}")
    db = apsw.Connection(str(data / "netpulse.db"), flags=apsw.SQLITE_OPEN_READONLY)
    with contextlib.closing(db):
        for words, query in RULES.items():
            found = db.execute(query).fetchall()
            if found:
                wrong.append(f"{words}: {len(found)}, such as {found[0]}")
        never_down = [ids[f"/{number}"] for number in range(steady)]
        marks = ",".join("?" * len(never_down))
        blamed = db.execute(
            f"SELECT count(*) FROM transitions WHERE after = 'down' AND monitor_id IN ({marks})",  # noqa: S608 -- marks alone
            never_down,
        ).get
        if blamed:
            wrong.append(f"{blamed} times a target was called down that always answers")
        channels = [row[0] for row in db.execute("SELECT id FROM alert_channels ORDER BY name")]
        for number, channel in enumerate(channels):
            wrong += told_in_order(db, channel, [one for one in taken if one[0] == number])
    return wrong


RULES = {
    "more than one open incident of a monitor": "SELECT monitor_id, count(*) FROM incidents"
    " WHERE resolved_at IS NULL AND monitor_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1",
    "an incident is open of a monitor that is not down": "SELECT i.id FROM incidents i"
    " JOIN watches w ON w.monitor_id = i.monitor_id"
    " WHERE i.resolved_at IS NULL AND w.status = 'up'",
    "an outage that somebody was not told of": "SELECT i.id FROM incidents i"
    " WHERE i.origin = 'check' AND (SELECT count(*) FROM alert_events e WHERE"
    " e.incident_id = i.id AND e.event = 'monitor.down')"
    " <> (SELECT count(*) FROM alert_channels)",
    "a notice was neither sent nor waits for a day at most": "SELECT id, status, error"
    " FROM alert_events WHERE event <> 'monitor.flapping' AND status NOT IN ('sent', 'suppressed')"
    " AND NOT (status = 'pending' AND next_attempt_at < unixepoch() * 1000 + 86400000)",
    "a transition does not begin where the one before ended": "SELECT id FROM (SELECT id, before,"
    " lag(after) OVER (PARTITION BY monitor_id ORDER BY seq) AS last FROM transitions)"
    " WHERE last IS NOT NULL AND last <> before",
    "what is known is not the last span": "SELECT w.monitor_id FROM watches w"
    " WHERE w.status <> (SELECT s.status FROM spans s WHERE s.monitor_id = w.monitor_id"
    " ORDER BY from_ms DESC LIMIT 1)",
}
"""What must not be found, in words and in SQL."""


def told_in_order(db: apsw.Connection, channel: str, taken: list[list[Any]]) -> list[str]:
    """Hold what a receiver took against what is said to have been sent to it."""
    wrong = []
    sent = db.execute(
        "SELECT id, monitor_id, event FROM alert_events WHERE channel_id = ? AND status = 'sent'"
        " ORDER BY seq",
        (channel,),
    ).fetchall()
    arrived = dict.fromkeys(one[1] for one in taken)
    place = {one: number for number, one in enumerate(arrived)}
    lost = [row for row in sent if row[0] not in place]
    if lost:
        wrong.append(f"{len(lost)} notices are said to be sent and never came, such as {lost[0]}")
    by_monitor: dict[str, list[int]] = defaultdict(list)
    for notice_id, monitor_id, event in sent:
        if event in ("monitor.down", "monitor.up") and notice_id in place:
            by_monitor[str(monitor_id)].append(place[notice_id])
    swapped = [one for one, places in by_monitor.items() if places != sorted(places)]
    if swapped:
        wrong.append(f"of {len(swapped)} monitors what was told came in another order")
    return wrong
