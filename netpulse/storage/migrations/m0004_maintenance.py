"""Planned maintenance: the windows, and the stretches of monitors' time that lie in them."""

from __future__ import annotations

SQL = """
CREATE TABLE maintenances (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    title TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    starts_at INTEGER NOT NULL,
    ends_at INTEGER,
    rrule TEXT,
    cron TEXT,
    timezone TEXT NOT NULL DEFAULT 'UTC',
    duration_minutes INTEGER,
    covers_all INTEGER NOT NULL DEFAULT 0,
    monitor_ids TEXT NOT NULL DEFAULT '[]',
    tags TEXT NOT NULL DEFAULT '[]',
    is_public INTEGER NOT NULL DEFAULT 0,
    -- The window that lasts, or else the next one.
    next_from INTEGER,
    next_to INTEGER,
    -- When there is something to do: a window begins, ends, or is ended in pieces.
    next_at INTEGER,
    -- Time before this stays as it was: when the plan was made, or changed last.
    since INTEGER NOT NULL DEFAULT 0,
    -- Its spans that reach beyond this end there.
    closing_at INTEGER,
    ended_through INTEGER,
    created_by TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL DEFAULT 0,
    deleted_at INTEGER,
    version INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;
CREATE INDEX maintenances_org ON maintenances (org_id, starts_at) WHERE deleted_at IS NULL;
CREATE INDEX maintenances_next ON maintenances (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE maintenance_spans (
    monitor_id TEXT NOT NULL,
    maintenance_id TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL CHECK (to_ms >= from_ms),
    PRIMARY KEY (monitor_id, from_ms, maintenance_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX maintenance_spans_end ON maintenance_spans (to_ms);
CREATE INDEX maintenance_spans_of ON maintenance_spans (maintenance_id, to_ms);

-- What of it is so now; kept by storage.maintenances alone.
ALTER TABLE monitors ADD COLUMN maintained_from INTEGER;
ALTER TABLE monitors ADD COLUMN maintained_until INTEGER;
CREATE INDEX monitors_maintained ON monitors (maintained_until) WHERE maintained_until IS NOT NULL;
"""
