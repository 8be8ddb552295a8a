"""What finds all transitions of an incident, not only the one that opened it."""

from __future__ import annotations

SQL = """
DROP INDEX transitions_opening;
CREATE INDEX transitions_incident ON transitions (incident_id, seq) WHERE incident_id IS NOT NULL;
"""
