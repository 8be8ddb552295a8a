"""When a second factor was begun that does not count yet, and wrong codes by the link for a new
password that they were shown with."""

from __future__ import annotations

SQL = """
ALTER TABLE users ADD COLUMN totp_begun_at INTEGER;
ALTER TABLE password_resets ADD COLUMN wrong_codes INTEGER NOT NULL DEFAULT 0;
"""
