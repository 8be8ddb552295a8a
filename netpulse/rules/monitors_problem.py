"""One thing that is wrong in a configuration."""

from __future__ import annotations

import re

from msgspec import Struct

CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What no text in one line has."""


class Problem(Struct, frozen=True):
    """Something wrong in a configuration: where (a JSON path) and what, for the person to read."""

    path: str
    message: str
