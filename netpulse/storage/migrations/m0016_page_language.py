"""The one language of a status page that does not speak each reader's own."""

from __future__ import annotations

SQL = """
ALTER TABLE status_pages ADD COLUMN language TEXT;
"""
