"""Cells of tables that people open in a spreadsheet (CSV)."""

from __future__ import annotations

_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""What a spreadsheet takes for the beginning of a formula, or drops to look at what follows; the
wide ones too, which some of them take for the narrow."""


def defused(text: str) -> str:
    """Return `text` so that no spreadsheet takes it for a formula: with an apostrophe before it
    where it begins like one (OWASP, CSV injection)."""
    return f"'{text}" if text and text[0] in _FORMULA else text
