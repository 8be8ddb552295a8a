"""Durations in words."""

from __future__ import annotations

from netpulse.model.time import SECOND, Millis


def lasted(milliseconds: Millis) -> str:
    """Return a duration in words, in its two largest units: 45 s, 1 min 30 s, 12 min, 3 h 5 min,
    2 d 4 h. From ten minutes on nobody counts seconds."""
    minutes, seconds = divmod(max(0, milliseconds) // SECOND, 60)
    if minutes == 0:
        return f"{seconds} s"
    hours, minutes = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes} min" + (f" {seconds} s" if seconds and minutes < 10 else "")
    days, hours = divmod(hours, 24)
    if days == 0:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    return f"{days} d" + (f" {hours} h" if hours else "")
