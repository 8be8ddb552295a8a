"""Badges are well-formed SVG, whatever stands in them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpulse.model.board import PublicStatus
from netpulse.rules import badges

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawn: str) -> list[str | None]:
    root = ElementTree.fromstring(drawn)  # noqa: S314 - our own text
    assert root.tag == f"{SVG}svg"
    return [each.text for each in root.iter(f"{SVG}text")]


def test_a_state() -> None:
    drawn = badges.status("Shop", PublicStatus.OPERATIONAL)
    assert texts(drawn) == ["Shop", "operational"]
    assert 'aria-label="Shop: operational"' in drawn
    assert "<title>Shop: operational</title>" in drawn


@pytest.mark.parametrize(
    ("percent", "text", "colour"),
    [
        (None, "no data", "#5c5f66"),
        (100.0, "100%", "#2a7a4d"),
        (99.9999, "99.99%", "#2a7a4d"),
        (99.0, "99.00%", "#2a7a4d"),
        (98.9999, "98.99%", "#9c5700"),
        (95.0, "95.00%", "#9c5700"),
        (94.99, "94.99%", "#c22a30"),
        (0.0, "0.00%", "#c22a30"),
    ],
)
def test_uptime(percent: float | None, text: str, colour: str) -> None:
    drawn = badges.uptime("Shop", percent)
    assert texts(drawn) == ["Shop", text]
    assert colour in drawn


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_labels_stay_text(label: str) -> None:
    drawn = badges.status(label, PublicStatus.OUTAGE)
    (shown, value) = texts(drawn)
    assert value == "outage"
    assert len(shown or "") <= badges.MOST_LABEL
    assert drawn.count("<text") == 2


def test_polyglots_stay_text() -> None:
    label = """"><script>alert(1)</script><svg onload='alert(2)'>"""
    drawn = badges.status(label, PublicStatus.OUTAGE)
    assert texts(drawn)[0] == label
    assert "<script" not in drawn


def test_a_period_stays_behind_a_long_name() -> None:
    drawn = badges.uptime("n" * 80, 100.0, "24 h")
    assert texts(drawn) == [f"{'n' * 54}… 24 h", "100%"]


def test_response_times() -> None:
    assert texts(badges.response_time("Shop", 128)) == ["Shop", "128 ms"]
    assert texts(badges.response_time("Shop", None)) == ["Shop", "no data"]
