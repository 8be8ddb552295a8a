"""Status pages: what they show, how they look, and what is published on them."""

from __future__ import annotations

SQL = """
CREATE TABLE status_pages (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    slug TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    text TEXT NOT NULL DEFAULT '',
    theme TEXT NOT NULL DEFAULT 'auto',
    accent TEXT,
    header TEXT,
    logo_type TEXT,
    logo_digest TEXT,
    logo_size INTEGER,
    domain TEXT UNIQUE,
    domain_token TEXT,
    domain_claimed_at INTEGER,
    domain_verified_at INTEGER,
    domain_verified_by TEXT,
    domain_checked_at INTEGER,
    domain_problem TEXT,
    -- When it is to be looked for again; null: proved, or no domain.
    domain_next_at INTEGER,
    password_hash TEXT,
    is_indexed INTEGER NOT NULL DEFAULT 1,
    shows_uptime INTEGER NOT NULL DEFAULT 1,
    shows_response_times INTEGER NOT NULL DEFAULT 0,
    -- The names of the groups, in their order.
    groups TEXT NOT NULL DEFAULT '[]',
    created_by TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    CHECK ((domain IS NULL) = (domain_token IS NULL)),
    CHECK ((logo_digest IS NULL) = (logo_type IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX status_pages_org ON status_pages (org_id, title COLLATE NOCASE);
CREATE INDEX status_pages_domain_next ON status_pages (domain_next_at)
    WHERE domain_next_at IS NOT NULL;

CREATE TABLE status_page_logos (
    page_id TEXT PRIMARY KEY REFERENCES status_pages (id) ON DELETE CASCADE,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE status_page_services (
    page_id TEXT NOT NULL REFERENCES status_pages (id) ON DELETE CASCADE,
    monitor_id TEXT NOT NULL REFERENCES monitors (id),
    group_number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    public_name TEXT NOT NULL,
    PRIMARY KEY (page_id, monitor_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX status_page_services_monitor ON status_page_services (monitor_id);

CREATE TABLE status_page_announcements (
    id TEXT PRIMARY KEY,
    page_id TEXT NOT NULL REFERENCES status_pages (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    text TEXT NOT NULL DEFAULT '',
    ends_at INTEGER,
    created_by TEXT,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;
CREATE INDEX status_page_announcements_page ON status_page_announcements (page_id, created_at);

-- Incidents that somebody posted on a page, beside those of its monitors.
CREATE TABLE incident_pages (
    incident_id TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    page_id TEXT NOT NULL REFERENCES status_pages (id) ON DELETE CASCADE,
    PRIMARY KEY (incident_id, page_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_pages_page ON incident_pages (page_id);

ALTER TABLE incident_updates ADD COLUMN is_public INTEGER NOT NULL DEFAULT 0;

-- Monitors whose badges anybody with the address may see.
CREATE TABLE monitor_badges (
    monitor_id TEXT PRIMARY KEY REFERENCES monitors (id),
    token TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
