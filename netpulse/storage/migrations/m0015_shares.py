"""Who of a message's recipients has it, kept over a restart while others are tried again."""

from __future__ import annotations

SQL = """
ALTER TABLE alert_events ADD COLUMN shares TEXT;  -- {recipient: "", or why they never will}
"""
