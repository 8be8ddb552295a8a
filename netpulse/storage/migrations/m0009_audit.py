"""The audit log, signed at its ends and found by what people ask it for."""

from __future__ import annotations

SQL = """
ALTER TABLE audit_heads ADD COLUMN mac TEXT;

CREATE INDEX audit_logs_action ON audit_logs (org_id, action, seq);
CREATE INDEX audit_logs_user ON audit_logs (org_id, user_id, seq) WHERE user_id IS NOT NULL;
CREATE INDEX audit_logs_resource ON audit_logs (org_id, resource_id, seq)
    WHERE resource_id IS NOT NULL;
CREATE INDEX audit_logs_time ON audit_logs (org_id, created_at, seq);
"""
