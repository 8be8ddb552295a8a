"""The time zones that forms offer."""

from __future__ import annotations

import zoneinfo
from functools import cache

_REGIONS = frozenset(
    "Africa America Antarctica Arctic Asia Atlantic Australia Europe Indian Pacific".split()
)


def offered(used: str) -> list[str]:
    """Return the names of the IANA time zones that people choose from, and the one in use."""
    usual = _usual()
    return usual if used in usual else [used, *usual]


@cache
def _usual() -> list[str]:
    """Return UTC, then the zones by continent."""
    named = (name for name in zoneinfo.available_timezones() if name.partition("/")[0] in _REGIONS)
    return ["UTC", *sorted(name for name in named if "/" in name)]
