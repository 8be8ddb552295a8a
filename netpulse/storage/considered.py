"""Why somebody was told, or was not: what every rule made of each change of an incident."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from netpulse.model.alert import Considered
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.model.watch import Status
from netpulse.storage.conn import Conn

_rules = msgspec.json.Decoder(tuple[Considered, ...])


class Change(Struct, frozen=True, kw_only=True):
    """A change of a monitor's state, and what the rules that cover it made of it."""

    at: Millis
    """When it was certain."""
    monitor_id: Id
    before: Status
    after: Status
    rules: tuple[Considered, ...]


def of_incident(conn: Conn, incident_id: Id) -> list[Change]:
    """Return the changes that belong to an incident, the first one first. Whose it is, its
    reader has made sure of. Changes from before this was recorded are left out."""
    rows = conn.all(
        "SELECT t.decided_at, t.monitor_id, t.before, t.after, t.considered"
        " FROM incident_monitors im JOIN transitions t ON +t.monitor_id = im.monitor_id"
        " WHERE im.incident_id = ?1 AND t.incident_id = ?1"
        " AND t.considered IS NOT NULL ORDER BY t.seq",
        (incident_id,),
    )
    return [
        Change(
            at=row[0],
            monitor_id=row[1],
            before=Status(row[2]),
            after=Status(row[3]),
            rules=_rules.decode(row[4]),
        )
        for row in rows
    ]
