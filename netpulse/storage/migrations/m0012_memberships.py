"""Memberships by organization and kind: a provider's list of clients counts and reads them so."""

from __future__ import annotations

SQL = """
DROP INDEX memberships_org;
CREATE INDEX memberships_org ON memberships (org_id, kind);
"""
