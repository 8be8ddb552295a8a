"""Raw results: hot hour files, packed month files, and the door to both (`Raw`)."""

from __future__ import annotations

from netpulse.storage.raw.chart import Bucket, Figure
from netpulse.storage.raw.damage import Damage
from netpulse.storage.raw.figures import Counts, HourFigures
from netpulse.storage.raw.raw import OnHour, Raw

__all__ = ["Bucket", "Counts", "Damage", "Figure", "HourFigures", "OnHour", "Raw"]
