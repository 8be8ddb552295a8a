"""Badges: a word and a figure as a small SVG, to be shown on pages of others.

Nothing in it is loaded, scripted or styled from outside; every text is escaped. The width of the
text is only estimated, and `textLength` has the browser fit it.
"""

from __future__ import annotations

from netpulse.model.badge import BadgeFacts
from netpulse.model.board import PublicStatus
from netpulse.model.time import PERIODS
from netpulse.rules.markup import text

MOST_LABEL = 60
_HEIGHT = 20
_PADDING = 6
_NARROW = frozenset("fijlrtI.,:;'|!()[] ")
_WIDE = frozenset("mwMWOQGCDNHU@%")

_COLOURS = {
    PublicStatus.OPERATIONAL: "#2a7a4d",
    PublicStatus.DEGRADED: "#9c5700",
    PublicStatus.OUTAGE: "#c22a30",
    PublicStatus.MAINTENANCE: "#2563ac",
    PublicStatus.UNKNOWN: "#5c5f66",
}
_GOOD, _FAIR = 99.0, 95.0


def status(label: str, state: PublicStatus) -> str:
    """Return the badge of a state."""
    return _drawn(label, state.value, _COLOURS[state])


def uptime(label: str, percent: float | None, period: str = "") -> str:
    """Return the badge of an uptime in percent, rounded down to two decimals; None: no data.

    `period` stands behind the label, however long that is: "90 d".
    """
    if period:
        label = f"{_shortened(label, MOST_LABEL - len(period) - 1)} {period}"
    if percent is None:
        return _drawn(label, "no data", _COLOURS[PublicStatus.UNKNOWN])
    state = PublicStatus.OUTAGE
    if percent >= _FAIR:
        state = PublicStatus.OPERATIONAL if percent >= _GOOD else PublicStatus.DEGRADED
    return _drawn(label, percent_text(percent), _COLOURS[state])


def response_time(label: str, milliseconds: int | None) -> str:
    """Return the badge of a response time; None: no data."""
    state = PublicStatus.UNKNOWN if milliseconds is None else PublicStatus.MAINTENANCE
    value = "no data" if milliseconds is None else f"{milliseconds} ms"
    return _drawn(label, value, _COLOURS[state])


UPTIME = "uptime-"
NAMES = ("status", *(f"{UPTIME}{period}" for period in PERIODS), "response-time")
"""The badges of a single monitor, as their addresses name them."""


def of_monitor(facts: BadgeFacts, name: str) -> str:
    """Return one of a monitor's own badges; `name` is one of NAMES."""
    if name == "status":
        return status(facts.label, facts.status)
    if name == "response-time":
        return response_time(facts.label, facts.response_time_ms)
    period = name.removeprefix(UPTIME)
    return uptime(facts.label, facts.uptime[period], f"{period[:-1]} {period[-1]}")


def percent_text(percent: float) -> str:
    """Return a percentage for people: rounded down, so that 100 is said only of all."""
    hundredths = int(percent * 100 + 1e-6)
    return "100%" if hundredths >= 10_000 else f"{hundredths // 100}.{hundredths % 100:02d}%"


def _drawn(label: str, value: str, colour: str) -> str:
    label = _shortened(label, MOST_LABEL)
    left, right = _width(label), _width(value)
    first, second = left + 2 * _PADDING, right + 2 * _PADDING
    said = text(f"{label}: {value}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{first + second}" height="{_HEIGHT}"'
        f' role="img" aria-label="{said}"><title>{said}</title>'
        f'<clipPath id="r"><rect width="{first + second}" height="{_HEIGHT}" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{first}" height="{_HEIGHT}" fill="#3a3d42"/>'
        f'<rect x="{first}" width="{second}" height="{_HEIGHT}" fill="{colour}"/></g>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{_PADDING}" y="14" textLength="{left}">{text(label)}</text>'
        f'<text x="{first + _PADDING}" y="14" textLength="{right}">{text(value)}</text>'
        "</g></svg>"
    )


def _shortened(label: str, most: int) -> str:
    label = " ".join(label.split())
    return label if len(label) <= most else f"{label[: most - 1]}…"


def _width(said: str) -> int:
    """Return about how many pixels a text takes in the font above."""
    widths = (4 if one in _NARROW else 9 if one in _WIDE else 7 for one in said)
    return max(1, sum(widths))
