"""Which file a check lies in: `hot/2026112320.db` by UTC hour, `checks/2026-11.db` by month."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from netpulse.model.time import DAY, HOUR, Millis

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOT = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)\.db")
_MONTH = re.compile(r"(\d{4}-\d\d)\.db")

LATEST: Millis = 253_402_300_800_000
"""The year 10000: file names have four digits for the year."""


def hour_of(at: Millis) -> Millis:
    """Return the start of the UTC hour that `at` lies in."""
    return at - at % HOUR


def day_of(at: Millis) -> Millis:
    """Return the start of the UTC day that `at` lies in."""
    return at - at % DAY


def month_of(at: Millis) -> str:
    """Return the UTC month that `at` lies in: ``2026-11``."""
    return _moment(at).strftime("%Y-%m")


class Places:
    """The two directories of the raw results below a data directory."""

    def __init__(self, data: Path) -> None:
        """Take the data directory; nothing is made here."""
        self.hot = data / "hot"
        self.spool = self.hot / "waiting"
        self.checks = data / "checks"

    def hot_path(self, hour: Millis) -> Path:
        """Return the file of the hour that starts at `hour`."""
        return self.hot / _moment(hour).strftime("%Y%m%d%H.db")

    def month_path(self, month: str) -> Path:
        """Return the file of a month such as ``2026-11``."""
        return self.checks / f"{month}.db"

    def hot_hours(self) -> list[Millis]:
        """Return the starts of the hours that have a hot file, oldest first."""
        found = []
        for entry in self.hot.iterdir():
            match = _HOT.fullmatch(entry.name)
            if match:
                year, month, day, hour = map(int, match.groups())
                found.append(_millis(datetime(year, month, day, hour, tzinfo=UTC)))
        return sorted(found)

    def months(self) -> list[str]:
        """Return the months that have a file, oldest first."""
        matches = (_MONTH.fullmatch(entry.name) for entry in self.checks.iterdir())
        return sorted(match[1] for match in matches if match)


def _moment(at: Millis) -> datetime:
    return _EPOCH + timedelta(milliseconds=at)


def _millis(moment: datetime) -> Millis:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
