"""Conditions on measures: which of them hold, and which certificates were told of."""

from __future__ import annotations

SQL = """
CREATE TABLE threshold_states (
    rule_id TEXT NOT NULL REFERENCES alert_rules (id) ON DELETE CASCADE,
    monitor_id TEXT NOT NULL REFERENCES monitors (id),
    term TEXT NOT NULL,
    since INTEGER NOT NULL,
    speaks_at INTEGER,
    fingerprint TEXT,
    notice_id TEXT,
    told_id TEXT,
    PRIMARY KEY (rule_id, monitor_id, term)
) STRICT, WITHOUT ROWID;
CREATE INDEX threshold_states_monitor ON threshold_states (monitor_id);
CREATE INDEX threshold_states_notice ON threshold_states (notice_id)
    WHERE notice_id IS NOT NULL;

CREATE TABLE certificate_notices (
    rule_id TEXT NOT NULL REFERENCES alert_rules (id) ON DELETE CASCADE,
    monitor_id TEXT NOT NULL REFERENCES monitors (id),
    fingerprint TEXT NOT NULL,
    days INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (rule_id, monitor_id, fingerprint, days)
) STRICT, WITHOUT ROWID;
CREATE INDEX certificate_notices_monitor ON certificate_notices (monitor_id);
"""
