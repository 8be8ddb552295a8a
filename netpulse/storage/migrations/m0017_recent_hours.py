"""The hours of the days that are not over yet, in the order of time.

Among the hours of all years each monitor's newest has a page of its own. Here those of one hour lie
side by side, and go over to `rollups_hour` a day at a time.
"""

from __future__ import annotations

SQL = """
CREATE TABLE rollups_recent (
    from_ms INTEGER NOT NULL,
    monitor_key INTEGER NOT NULL,
    region TEXT NOT NULL,
    checks INTEGER NOT NULL,
    ups INTEGER NOT NULL,
    degraded INTEGER NOT NULL,
    downs INTEGER NOT NULL,
    inconclusive INTEGER NOT NULL,
    response_count INTEGER NOT NULL,
    response_sum INTEGER NOT NULL,
    response_min INTEGER,
    response_max INTEGER,
    PRIMARY KEY (from_ms, monitor_key, region)
) STRICT, WITHOUT ROWID;
"""
