"""Colours of a person's choice stay legible whatever they choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpulse.rules import colors
from netpulse.rules.colors import BLACK, DARK_GROUND, ENOUGH, LIGHT_GROUND, WHITE

part = st.integers(0, 255)
color = st.tuples(part, part, part)


def test_reading() -> None:
    assert colors.read("#1660b8") == (0x16, 0x60, 0xB8)
    assert colors.shown(colors.read("#ABCDEF")) == "#abcdef"


@pytest.mark.parametrize(
    "text",
    ["", "#fff", "1660b8", "#1660b8ff", "red", "#12345g", "#123456;}", "#123456\n", "url(x)"],
)
def test_what_is_no_colour(text: str) -> None:
    with pytest.raises(ValueError, match="a colour is written #rrggbb, such as #1660b8"):
        colors.read(text)


def test_contrast_as_the_standard_has_it() -> None:
    assert colors.contrast(WHITE, BLACK) == pytest.approx(21)
    assert colors.contrast((119, 119, 119), WHITE) == pytest.approx(4.48, abs=0.01)
    assert colors.contrast((118, 118, 118), WHITE) == pytest.approx(4.54, abs=0.01)


@given(color, st.sampled_from([LIGHT_GROUND, DARK_GROUND, WHITE, BLACK]))
def test_what_is_fitted_can_be_read(chosen: colors.Rgb, ground: colors.Rgb) -> None:
    fitted = colors.fitted(chosen, ground)
    assert colors.contrast(fitted, ground) >= ENOUGH
    if colors.contrast(chosen, ground) >= ENOUGH:
        assert fitted == chosen


@given(color)
def test_ink_can_be_read_on_every_ground(ground: colors.Rgb) -> None:
    assert colors.contrast(colors.ink(ground), ground) >= ENOUGH
