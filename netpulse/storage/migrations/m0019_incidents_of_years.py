"""What finds and counts incidents among those of years: nothing is deleted from them.

`incident_tallies` says how many there are of each kind, kept by triggers in the transaction of what
it counts. Ends are in an index, as beginnings are: what lasted lately, and when the last one ended.
The few that people announce have one of their own.
"""

from __future__ import annotations

_COUNT = """
    INSERT INTO incident_tallies (org_id, status, origin, is_open, incidents)
    VALUES (NEW.org_id, NEW.status, NEW.origin, NEW.resolved_at IS NULL, 1)
    ON CONFLICT DO UPDATE SET incidents = incidents + 1;
"""
_UNCOUNT = """
    UPDATE incident_tallies SET incidents = incidents - 1
    WHERE org_id = OLD.org_id AND status = OLD.status AND origin = OLD.origin
    AND is_open = (OLD.resolved_at IS NULL);
"""

SQL = f"""
CREATE TABLE incident_tallies (
    org_id TEXT NOT NULL,
    status TEXT NOT NULL,
    origin TEXT NOT NULL,
    is_open INTEGER NOT NULL,
    incidents INTEGER NOT NULL,
    PRIMARY KEY (org_id, status, origin, is_open)
) STRICT, WITHOUT ROWID;
INSERT INTO incident_tallies (org_id, status, origin, is_open, incidents)
    SELECT org_id, status, origin, resolved_at IS NULL, count(*)
    FROM incidents GROUP BY 1, 2, 3, 4;
CREATE TRIGGER incidents_written AFTER INSERT ON incidents BEGIN {_COUNT} END;
CREATE TRIGGER incidents_removed AFTER DELETE ON incidents BEGIN {_UNCOUNT} END;
CREATE TRIGGER incidents_moved
    AFTER UPDATE OF org_id, status, origin, resolved_at ON incidents
    WHEN (OLD.org_id, OLD.status, OLD.origin, OLD.resolved_at IS NULL)
    IS NOT (NEW.org_id, NEW.status, NEW.origin, NEW.resolved_at IS NULL)
BEGIN {_UNCOUNT} {_COUNT} END;

CREATE INDEX incidents_by_end ON incidents (org_id, resolved_at);
CREATE INDEX incidents_by_hand ON incidents (org_id, started_at) WHERE origin = 'manual';
"""
