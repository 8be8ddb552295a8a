"""The first layout of the main file."""

from __future__ import annotations

SQL = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value ANY
) STRICT, WITHOUT ROWID;

CREATE TABLE organizations (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    slug TEXT NOT NULL UNIQUE,
    parent_id TEXT REFERENCES organizations (id),
    timezone TEXT NOT NULL DEFAULT 'UTC',
    locale TEXT NOT NULL DEFAULT 'en',
    plan TEXT NOT NULL DEFAULT 'free',
    branding TEXT NOT NULL DEFAULT '{}',
    version INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX organizations_parent ON organizations (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    home_org_id TEXT NOT NULL REFERENCES organizations (id),
    totp_secret BLOB,
    totp_enabled INTEGER NOT NULL DEFAULT 0,
    totp_last_step INTEGER,
    is_active INTEGER NOT NULL DEFAULT 1,
    last_login_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE memberships (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    org_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'admin', 'super_admin')),
    PRIMARY KEY (user_id, org_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_org ON memberships (org_id);

CREATE TABLE sessions (
    token_digest TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    org_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ip TEXT,
    user_agent TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE refresh_families (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    ip TEXT,
    user_agent TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_families_user ON refresh_families (user_id);

CREATE TABLE refresh_tokens (
    digest TEXT PRIMARY KEY,
    family_id TEXT NOT NULL REFERENCES refresh_families (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    used_at INTEGER,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE login_failures (
    address TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX login_failures_address ON login_failures (address, at);
CREATE INDEX login_failures_at ON login_failures (at);

CREATE TABLE monitors (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    target TEXT NOT NULL,
    group_name TEXT NOT NULL DEFAULT '',
    tags TEXT NOT NULL DEFAULT '[]',
    search TEXT NOT NULL,
    interval_seconds INTEGER NOT NULL,
    timeout_seconds INTEGER NOT NULL,
    config TEXT NOT NULL,
    secrets BLOB,
    is_paused INTEGER NOT NULL DEFAULT 0,
    created_by TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    version INTEGER NOT NULL DEFAULT 1,
    parent_id TEXT REFERENCES monitors (id),
    source TEXT,
    external_id TEXT,
    managed_by TEXT
) STRICT;
CREATE INDEX monitors_by_name ON monitors (org_id, name COLLATE NOCASE, key)
    WHERE deleted_at IS NULL;
CREATE INDEX monitors_by_age ON monitors (org_id, key) WHERE deleted_at IS NULL;
CREATE INDEX monitors_by_group ON monitors (org_id, group_name COLLATE NOCASE)
    WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX monitors_source ON monitors (org_id, source, external_id)
    WHERE source IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE monitor_tags (
    monitor_key INTEGER NOT NULL REFERENCES monitors (key),
    tag TEXT NOT NULL,
    org_id TEXT NOT NULL,
    PRIMARY KEY (monitor_key, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX monitor_tags_tag ON monitor_tags (org_id, tag);

CREATE TABLE watches (
    monitor_id TEXT NOT NULL REFERENCES monitors (id),
    region TEXT NOT NULL DEFAULT 'local',
    org_id TEXT NOT NULL,
    status TEXT NOT NULL,
    since INTEGER NOT NULL,
    settled TEXT NOT NULL,
    downs INTEGER NOT NULL DEFAULT 0,
    first_down_at INTEGER,
    slows INTEGER NOT NULL DEFAULT 0,
    first_slow_at INTEGER,
    goods INTEGER NOT NULL DEFAULT 0,
    first_good_at INTEGER,
    incident_id TEXT,
    silent_since INTEGER,
    PRIMARY KEY (monitor_id, region)
) STRICT, WITHOUT ROWID;
CREATE INDEX watches_status ON watches (org_id, status, region);

CREATE TABLE transitions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    org_id TEXT NOT NULL,
    monitor_id TEXT NOT NULL REFERENCES monitors (id),
    region TEXT NOT NULL DEFAULT 'local',
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    at INTEGER NOT NULL,
    decided_at INTEGER NOT NULL,
    reason TEXT,
    check_json TEXT,
    monitor_version INTEGER NOT NULL,
    incident_id TEXT
) STRICT;
CREATE INDEX transitions_monitor ON transitions (monitor_id, after, seq);

CREATE TABLE spans (
    monitor_id TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    incident_id TEXT,
    PRIMARY KEY (monitor_id, from_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    ended_at INTEGER,
    reason TEXT,
    version TEXT NOT NULL
) STRICT;

CREATE TABLE gaps (
    id INTEGER PRIMARY KEY,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL CHECK (to_ms > from_ms),
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX gaps_end ON gaps (to_ms);

CREATE TABLE incidents (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    monitor_id TEXT REFERENCES monitors (id),
    title TEXT NOT NULL,
    status TEXT NOT NULL,
    origin TEXT NOT NULL,
    impact TEXT NOT NULL DEFAULT 'major',
    started_at INTEGER NOT NULL,
    resolved_at INTEGER,
    reason TEXT,
    failure TEXT,
    resolution TEXT,
    root_cause TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;
CREATE INDEX incidents_by_start ON incidents (org_id, started_at);
CREATE INDEX incidents_open ON incidents (org_id, started_at) WHERE resolved_at IS NULL;
CREATE UNIQUE INDEX incidents_one_open ON incidents (monitor_id)
    WHERE resolved_at IS NULL AND monitor_id IS NOT NULL;

CREATE TABLE incident_monitors (
    incident_id TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    monitor_id TEXT NOT NULL REFERENCES monitors (id),
    PRIMARY KEY (incident_id, monitor_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_monitors_monitor ON incident_monitors (monitor_id);

CREATE TABLE incident_updates (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    incident_id TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    status TEXT,
    message TEXT NOT NULL DEFAULT '',
    user_id TEXT
) STRICT;
CREATE INDEX incident_updates_incident ON incident_updates (incident_id, at);

CREATE TABLE alert_channels (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    config BLOB NOT NULL,
    is_active INTEGER NOT NULL DEFAULT 1,
    retry_for_seconds INTEGER NOT NULL DEFAULT 86400,
    max_attempts INTEGER,
    version INTEGER NOT NULL DEFAULT 1,
    source TEXT,
    external_id TEXT,
    managed_by TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_channels_org ON alert_channels (org_id, name COLLATE NOCASE)
    WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX alert_channels_source ON alert_channels (org_id, source, external_id)
    WHERE source IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE alert_rules (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    is_active INTEGER NOT NULL DEFAULT 1,
    monitor_id TEXT REFERENCES monitors (id),
    tag TEXT,
    channel_id TEXT NOT NULL REFERENCES alert_channels (id),
    condition TEXT NOT NULL,
    cooldown_seconds INTEGER NOT NULL DEFAULT 300,
    notify_recovery INTEGER NOT NULL DEFAULT 1,
    version INTEGER NOT NULL DEFAULT 1,
    source TEXT,
    external_id TEXT,
    managed_by TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_rules_org ON alert_rules (org_id, monitor_id, tag);
CREATE INDEX alert_rules_monitor ON alert_rules (monitor_id) WHERE monitor_id IS NOT NULL;
CREATE INDEX alert_rules_channel ON alert_rules (channel_id);
CREATE UNIQUE INDEX alert_rules_source ON alert_rules (org_id, source, external_id)
    WHERE source IS NOT NULL;

CREATE TABLE alert_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    org_id TEXT NOT NULL,
    event TEXT NOT NULL,
    rule_id TEXT,
    channel_id TEXT NOT NULL REFERENCES alert_channels (id),
    monitor_id TEXT,
    incident_id TEXT,
    transition_id TEXT,
    status TEXT NOT NULL CHECK (status IN ('pending', 'sent', 'failed', 'suppressed')),
    reason TEXT,
    held_for TEXT,
    payload TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    sent_at INTEGER,
    next_attempt_at INTEGER,
    attempt_count INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    claimed_by TEXT,
    claimed_until INTEGER,
    CHECK ((status = 'suppressed') = (reason IS NOT NULL)),
    CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX alert_events_once ON alert_events (transition_id, channel_id, event)
    WHERE transition_id IS NOT NULL AND status <> 'suppressed';
CREATE INDEX alert_events_lane ON alert_events (channel_id, monitor_id, seq)
    WHERE status = 'pending' AND held_for IS NULL;
CREATE INDEX alert_events_outbox ON alert_events (channel_id, seq)
    WHERE status = 'pending' AND held_for IS NULL;
CREATE INDEX alert_events_held ON alert_events (next_attempt_at)
    WHERE status = 'pending' AND held_for IS NOT NULL;
CREATE INDEX alert_events_next ON alert_events (next_attempt_at)
    WHERE status = 'pending' AND claimed_until IS NULL;
CREATE INDEX alert_events_claimed ON alert_events (channel_id, claimed_until)
    WHERE claimed_until IS NOT NULL;
CREATE INDEX alert_events_transition ON alert_events (transition_id);
CREATE INDEX alert_events_incident ON alert_events (incident_id, channel_id);
CREATE INDEX alert_events_monitor ON alert_events (monitor_id, rule_id, seq);
CREATE INDEX alert_events_org ON alert_events (org_id, seq);

CREATE TABLE alert_attempts (
    id INTEGER PRIMARY KEY,
    notice_id TEXT NOT NULL REFERENCES alert_events (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    ok INTEGER NOT NULL,
    status_code INTEGER,
    answer TEXT,
    latency_ms INTEGER
) STRICT;
CREATE INDEX alert_attempts_notice ON alert_attempts (notice_id);

CREATE TABLE audit_logs (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    action TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT,
    actor_kind TEXT NOT NULL,
    user_id TEXT,
    actor_label TEXT NOT NULL DEFAULT '',
    ip_address TEXT,
    user_agent TEXT,
    payload TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    UNIQUE (org_id, seq)
) STRICT;
CREATE TRIGGER audit_logs_keep BEFORE UPDATE ON audit_logs
BEGIN SELECT RAISE (ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_logs_stay BEFORE DELETE ON audit_logs
BEGIN SELECT RAISE (ABORT, 'the audit log is append-only'); END;

CREATE TABLE audit_heads (
    org_id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rollups_hour (
    monitor_key INTEGER NOT NULL,
    region TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    checks INTEGER NOT NULL,
    ups INTEGER NOT NULL,
    degraded INTEGER NOT NULL,
    downs INTEGER NOT NULL,
    inconclusive INTEGER NOT NULL,
    response_count INTEGER NOT NULL,
    response_sum INTEGER NOT NULL,
    response_min INTEGER,
    response_max INTEGER,
    PRIMARY KEY (monitor_key, region, from_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollups_day (
    monitor_key INTEGER NOT NULL,
    region TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    checks INTEGER NOT NULL,
    ups INTEGER NOT NULL,
    degraded INTEGER NOT NULL,
    downs INTEGER NOT NULL,
    inconclusive INTEGER NOT NULL,
    response_count INTEGER NOT NULL,
    response_sum INTEGER NOT NULL,
    response_min INTEGER,
    response_max INTEGER,
    PRIMARY KEY (monitor_key, region, from_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE troubles (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    since INTEGER NOT NULL,
    ended_at INTEGER,
    detail TEXT NOT NULL DEFAULT '',
    monitor_count INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX troubles_open ON troubles (kind) WHERE ended_at IS NULL;
"""
