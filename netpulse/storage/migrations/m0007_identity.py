"""Clients, invitations, second factors, limits by account, and the letters that go with them."""

from __future__ import annotations

SQL = """
ALTER TABLE organizations ADD COLUMN max_monitors INTEGER;
ALTER TABLE organizations ADD COLUMN max_users INTEGER;
ALTER TABLE organizations ADD COLUMN retention_days INTEGER;
ALTER TABLE organizations ADD COLUMN private_targets INTEGER NOT NULL DEFAULT 1;
ALTER TABLE organizations ADD COLUMN deleted_at INTEGER;

ALTER TABLE users ADD COLUMN ip_whitelist TEXT NOT NULL DEFAULT '[]';
ALTER TABLE users ADD COLUMN password_changed_at INTEGER;

ALTER TABLE memberships ADD COLUMN is_active INTEGER NOT NULL DEFAULT 1;
ALTER TABLE memberships ADD COLUMN kind TEXT NOT NULL DEFAULT 'member'
    CHECK (kind IN ('member', 'grant'));
ALTER TABLE memberships ADD COLUMN granted_by TEXT;
ALTER TABLE memberships ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
UPDATE memberships SET created_at = (SELECT created_at FROM users WHERE users.id = user_id);

ALTER TABLE sessions ADD COLUMN id TEXT;
UPDATE sessions SET id = lower(
    hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
    || '-8' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))
);
CREATE UNIQUE INDEX sessions_id ON sessions (id);
ALTER TABLE refresh_families ADD COLUMN last_used_at INTEGER;

CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    used_at INTEGER,
    PRIMARY KEY (user_id, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE account_failures (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('password', 'totp')),
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX account_failures_user ON account_failures (user_id, kind, at);
CREATE INDEX account_failures_at ON account_failures (at);

CREATE TABLE known_addresses (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address TEXT NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, address)
) STRICT, WITHOUT ROWID;

CREATE TABLE password_resets (
    digest TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX password_resets_user ON password_resets (user_id, created_at);
CREATE INDEX password_resets_expiry ON password_resets (expires_at);

CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    email TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'admin')),
    token_digest TEXT NOT NULL UNIQUE,
    invited_by TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    accepted_at INTEGER,
    accepted_by TEXT,
    version INTEGER NOT NULL DEFAULT 1,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX invitations_org ON invitations (org_id, created_at);
CREATE INDEX invitations_email ON invitations (email) WHERE accepted_at IS NULL;

CREATE TABLE letters (
    id TEXT PRIMARY KEY,
    org_id TEXT,
    user_id TEXT,
    kind TEXT NOT NULL,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    body BLOB,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    next_attempt_at INTEGER,
    attempt_count INTEGER NOT NULL DEFAULT 0,
    sent_at INTEGER,
    error TEXT,
    CHECK ((next_attempt_at IS NULL) = (body IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX letters_next ON letters (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX letters_created ON letters (created_at);
"""
