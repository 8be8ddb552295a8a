"""What finds the incidents of one monitor among those that it had in years, by their time alone,
and the transition that opened one."""

from __future__ import annotations

SQL = """
CREATE INDEX incidents_of_monitor ON incidents (monitor_id, started_at, id, resolved_at)
    WHERE monitor_id IS NOT NULL;
DROP INDEX incidents_by_hand;
CREATE INDEX incidents_by_hand ON incidents (org_id, started_at, id, resolved_at)
    WHERE origin = 'manual';
CREATE INDEX transitions_opening ON transitions (incident_id, seq)
    WHERE after = 'down' AND incident_id IS NOT NULL;
"""
