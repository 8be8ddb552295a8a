"""Escalations, reminders, quiet hours, fallbacks, acknowledgements, digests and flapping."""

from __future__ import annotations

SQL = """
ALTER TABLE alert_rules ADD COLUMN escalation_minutes INTEGER;
ALTER TABLE alert_rules ADD COLUMN reminder_minutes INTEGER;
ALTER TABLE alert_rules ADD COLUMN quiet_hours TEXT;
ALTER TABLE alert_rules ADD COLUMN fallback_channel_id TEXT REFERENCES alert_channels (id);
ALTER TABLE alert_rules ADD COLUMN message TEXT;
CREATE INDEX alert_rules_fallback ON alert_rules (fallback_channel_id)
    WHERE fallback_channel_id IS NOT NULL;

ALTER TABLE incidents ADD COLUMN acknowledged_at INTEGER;
ALTER TABLE incidents ADD COLUMN acknowledged_by TEXT;
ALTER TABLE incidents ADD COLUMN acknowledged_via TEXT;

ALTER TABLE transitions ADD COLUMN considered TEXT;

ALTER TABLE alert_events ADD COLUMN cause TEXT NOT NULL DEFAULT 'change';
ALTER TABLE alert_events ADD COLUMN template TEXT;
ALTER TABLE alert_events ADD COLUMN digest_id TEXT;
ALTER TABLE alert_events ADD COLUMN fallback_at INTEGER;
ALTER TABLE alert_events ADD COLUMN fallback_of TEXT;
ALTER TABLE alert_events ADD COLUMN first_attempt_at INTEGER;
CREATE INDEX alert_events_fallback ON alert_events (fallback_at) WHERE fallback_at IS NOT NULL;
CREATE INDEX alert_events_first ON alert_events (channel_id, first_attempt_at)
    WHERE first_attempt_at IS NOT NULL;
CREATE INDEX alert_events_digest ON alert_events (digest_id)
    WHERE digest_id IS NOT NULL AND status = 'pending';
CREATE INDEX alert_events_held_of ON alert_events (monitor_id, held_for)
    WHERE status = 'pending' AND held_for IS NOT NULL;

ALTER TABLE alert_channels ADD COLUMN disabled_at INTEGER;
ALTER TABLE alert_channels ADD COLUMN disabled_reason TEXT;
ALTER TABLE alert_channels ADD COLUMN last_test_at INTEGER;
ALTER TABLE alert_channels ADD COLUMN last_test_ok INTEGER;
ALTER TABLE alert_channels ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alert_channels ADD COLUMN gathering_until INTEGER;

DROP INDEX alert_events_next;
CREATE INDEX alert_events_next ON alert_events (channel_id, next_attempt_at)
    WHERE status = 'pending' AND held_for IS NULL AND claimed_until IS NULL;

CREATE TABLE alert_timers (
    incident_id TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    rule_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('escalation', 'reminder')),
    due_at INTEGER NOT NULL,
    PRIMARY KEY (incident_id, rule_id, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_timers_due ON alert_timers (due_at);

CREATE INDEX monitors_parent ON monitors (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE flaps (
    monitor_id TEXT PRIMARY KEY REFERENCES monitors (id),
    since INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
