"""Push monitors: their tokens, and where each stands between two pings."""

from __future__ import annotations

SQL = """
CREATE TABLE pushes (
    monitor_id TEXT PRIMARY KEY REFERENCES monitors (id),
    org_id TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    token BLOB NOT NULL,
    base_at INTEGER NOT NULL,
    deadline_at INTEGER NOT NULL,
    started_at INTEGER,
    last_at INTEGER
) STRICT, WITHOUT ROWID;
"""
