"""What lists, counts and the dashboard ask of all monitors, without their rows of a kilobyte.

The index in the order of names has whatever else lists are filtered and sorted by, but for what
is searched in (and `deleted_at`, which is in none of them, so that SQLite knows that it needs no
row). Nothing in it changes when a monitor's state does. `monitor_tallies` says how many
monitors each organization has, kept by triggers in the transaction of what it counts.
"""

from __future__ import annotations

_COUNT = """
    INSERT INTO monitor_tallies (org_id, monitors) SELECT NEW.org_id, 1 WHERE NEW.deleted_at IS NULL
    ON CONFLICT DO UPDATE SET monitors = monitors + 1;
"""
_UNCOUNT = """
    UPDATE monitor_tallies SET monitors = monitors - 1
    WHERE org_id = OLD.org_id AND OLD.deleted_at IS NULL;
"""

SQL = f"""
CREATE TABLE monitor_tallies (
    org_id TEXT NOT NULL PRIMARY KEY,
    monitors INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO monitor_tallies (org_id, monitors)
    SELECT org_id, count(*) FROM monitors WHERE deleted_at IS NULL GROUP BY 1;
CREATE TRIGGER monitors_made AFTER INSERT ON monitors BEGIN {_COUNT} END;
CREATE TRIGGER monitors_removed AFTER DELETE ON monitors BEGIN {_UNCOUNT} END;
CREATE TRIGGER monitors_deleted AFTER UPDATE OF org_id, deleted_at ON monitors
BEGIN {_UNCOUNT} {_COUNT} END;

DROP INDEX monitors_by_group;
DROP INDEX monitors_by_name;
CREATE INDEX monitors_by_name ON monitors (
    org_id, name COLLATE NOCASE, key, id, type, interval_seconds, is_paused, created_at,
    maintained_until, group_name, deleted_at
) WHERE deleted_at IS NULL;
"""
