"""Cells of tables that people open in a spreadsheet (CSV)."""

from __future__ import annotations

import re

_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""What a spreadsheet takes for the beginning of a formula, or drops to look at what follows; the
wide ones too, which some of them take for the narrow."""


_INNER = re.compile("(?!\\A)([;\t\r\n][ \t\r\n]*)(?=[=+\\-@\uff1d\uff0b\uff0d\uff20])")
"""Where a spreadsheet that separates by semicolons or tabs begins a cell with a formula."""


def defused(text: str) -> str:
    """Return `text` so that no spreadsheet takes it, or what it would make a cell of its own, for a
    formula: with an apostrophe before it (OWASP, CSV injection)."""
    text = _INNER.sub(r"\1'", text)
    return f"'{text}" if text and text[0] in _FORMULA else text
