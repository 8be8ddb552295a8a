"""Text as XML carries it."""

from __future__ import annotations

import re
from html import escape

_ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 cannot carry, escaped or not (section 2.2)."""


def text(plain: str) -> str:
    """Return plain text for an element or an attribute; what XML cannot carry becomes U+FFFD."""
    return escape(_ILLEGAL.sub("\ufffd", plain))
