"""Badges of single monitors: what they call the monitor, where that is not its own name."""

from __future__ import annotations

SQL = """
ALTER TABLE monitor_badges ADD COLUMN label TEXT;
"""
