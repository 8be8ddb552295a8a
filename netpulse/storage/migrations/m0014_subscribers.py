"""Subscribers of status pages, and what they were told."""

from __future__ import annotations

SQL = """
ALTER TABLE status_pages ADD COLUMN takes_subscribers INTEGER NOT NULL DEFAULT 1;

CREATE TABLE status_page_subscribers (
    id TEXT PRIMARY KEY,
    page_id TEXT NOT NULL REFERENCES status_pages (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    -- Sealed.
    address BLOB NOT NULL,
    address_digest TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    asked_at INTEGER NOT NULL,
    confirmed_at INTEGER,
    -- The issues that are on their way to it, or went last.
    news_from INTEGER NOT NULL DEFAULT 0,
    news_to INTEGER NOT NULL DEFAULT 0,
    attempt_count INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER,
    gives_up_at INTEGER,
    failing_since INTEGER,
    error TEXT,
    UNIQUE (page_id, address_digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX status_page_subscribers_told ON status_page_subscribers (page_id, kind, news_to)
    WHERE confirmed_at IS NOT NULL;
CREATE INDEX status_page_subscribers_asked ON status_page_subscribers (asked_at)
    WHERE confirmed_at IS NULL;
CREATE INDEX status_page_subscribers_next ON status_page_subscribers (next_attempt_at)
    WHERE next_attempt_at IS NOT NULL;

-- Of each page with subscribers: up to which line of all stories it was looked through, when and
-- how often in a row it told them something, and in which issue last.
CREATE TABLE status_page_news (
    page_id TEXT PRIMARY KEY REFERENCES status_pages (id) ON DELETE CASCADE,
    seen_seq INTEGER NOT NULL,
    told_at INTEGER,
    row_length INTEGER NOT NULL DEFAULT 0,
    issue INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What was told: incidents up to a line of their story, maintenance and announcements once.
CREATE TABLE status_page_told (
    page_id TEXT NOT NULL REFERENCES status_pages (id) ON DELETE CASCADE,
    thing TEXT NOT NULL,
    incident_id TEXT,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (page_id, thing)
) STRICT, WITHOUT ROWID;

CREATE TABLE status_page_issues (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    page_id TEXT NOT NULL REFERENCES status_pages (id) ON DELETE CASCADE,
    items TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX status_page_issues_page ON status_page_issues (page_id, seq);

ALTER TABLE letters ADD COLUMN subscriber_id TEXT;
CREATE INDEX letters_subscriber ON letters (subscriber_id)
    WHERE subscriber_id IS NOT NULL AND next_attempt_at IS NOT NULL;
"""
