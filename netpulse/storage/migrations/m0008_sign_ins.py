"""Failed sign-ins by the account that was tried, so that many addresses share one count."""

from __future__ import annotations

SQL = """
ALTER TABLE login_failures ADD COLUMN name TEXT;
ALTER TABLE login_failures ADD COLUMN network TEXT;
CREATE INDEX login_failures_name ON login_failures (name, at) WHERE name IS NOT NULL;
"""
