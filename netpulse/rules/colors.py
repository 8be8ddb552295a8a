"""Colours of a person's choice, made legible: contrast as WCAG 2.2 defines it (1.4.3)."""

from __future__ import annotations

import re

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_STEPS = 50

Rgb = tuple[int, int, int]

WHITE: Rgb = (255, 255, 255)
BLACK: Rgb = (0, 0, 0)
LIGHT_GROUND: Rgb = (243, 244, 246)
"""The darkest ground that text stands on in the light theme."""
DARK_GROUND: Rgb = (46, 48, 52)
"""The lightest one in the dark theme."""
ENOUGH = 4.5


def read(text: str) -> Rgb:
    """Return the colour that `text` says.

    Raises:
        ValueError: it is not written #rrggbb.
    """
    if not _HEX.fullmatch(text):
        raise ValueError("a colour is written #rrggbb, such as #1660b8")
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def shown(color: Rgb) -> str:
    """Return a colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def contrast(one: Rgb, other: Rgb) -> float:
    """Return the contrast ratio of two colours, from 1 to 21."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def ink(ground: Rgb) -> Rgb:
    """Return the colour of text on `ground`: black or white, whichever is easier to read."""
    return max(WHITE, BLACK, key=lambda color: contrast(color, ground))


def fitted(color: Rgb, ground: Rgb) -> Rgb:
    """Return `color`, moved towards black or white no further than text on `ground` needs."""
    end = ink(ground)
    for step in range(_STEPS + 1):
        moved = _mixed(color, end, step / _STEPS)
        if contrast(moved, ground) >= ENOUGH:
            return moved
    return end


def _mixed(color: Rgb, end: Rgb, part: float) -> Rgb:
    red, green, blue = (
        round(one + (other - one) * part) for one, other in zip(color, end, strict=True)
    )
    return red, green, blue


def _luminance(color: Rgb) -> float:
    red, green, blue = (_linear(part / 255) for part in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    linear: float = part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
    return linear
