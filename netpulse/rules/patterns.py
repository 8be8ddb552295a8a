"""Patterns that people write, through RE2: linear in the text, and bounded by its length.

Python's own `re` backtracks and cannot be interrupted (12 s for 27 characters). RE2 cannot
explode, but where its state table overflows it costs about 5 ns for each byte times instruction
of the pattern's program; the bounds below keep the worst pattern on the worst text near 2 s,
off the event loop and without the interpreter lock. An ordinary pattern takes 2 ms a MiB.
"""

from __future__ import annotations

import functools
from typing import Any

LARGEST_PROGRAM = 4_000
"""Instructions a compiled pattern may have."""

_WORK = 400_000_000
"""Bytes times instructions that one search may cost at worst."""

_MEMORY = 1 << 20
"""Bytes for the compiled pattern and its state table."""


class PatternError(ValueError):
    """A pattern that cannot be used; the message says why."""


class Pattern:
    """A compiled pattern. The text is UTF-8: a byte that is not matches nothing."""

    __slots__ = ("_regexp", "reach")

    def __init__(self, regexp: Any) -> None:
        self._regexp = regexp
        self.reach: int = _WORK // max(1, regexp.programsize)
        """How many bytes of a text are searched at most."""

    def finds(self, text: bytes) -> bool:
        """Tell whether the pattern matches anywhere in the first `reach` bytes."""
        return self._regexp.search(text[: self.reach]) is not None

    def covers(self, text: bytes) -> bool:
        """Tell whether the pattern matches the whole text."""
        return len(text) <= self.reach and self._regexp.fullmatch(text) is not None

    def cost(self, size: int) -> int:
        """Return the worst cost of a search in `size` bytes, in bytes times instructions."""
        return min(size * int(self._regexp.programsize), _WORK)


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str) -> Pattern:
    """Return the pattern in RE2's syntax, compiled.

    Raises:
        PatternError: it does not compile, or its program would be too large.
    """
    # Only who writes a pattern pays for it: 2.5 MB, and 12 ms once.
    import re2  # type: ignore[import-untyped]  # it comes without types

    options = re2.Options()
    options.max_mem = _MEMORY
    options.never_capture = True
    options.log_errors = False
    try:
        regexp = re2.compile(pattern, options)
    except re2.error as trouble:
        raise PatternError(_words(trouble)) from None
    if max(regexp.programsize, regexp.reverseprogramsize) > LARGEST_PROGRAM:
        raise PatternError("the pattern is too large: use smaller repetitions")
    return Pattern(regexp)


@functools.lru_cache(maxsize=1024)
def compiled_iregexp(pattern: str) -> Pattern:
    """Return a pattern of JSONPath's match() and search() (I-Regexp, RFC 9485), compiled.

    RFC 9485, section 5: a dot outside brackets stands for anything but a line break.

    Raises:
        PatternError: as `compiled`.
    """
    parts: list[str] = []
    escaped = bracketed = False
    for char in pattern:
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "[":
            bracketed = True
        elif char == "]":
            bracketed = False
        elif char == "." and not bracketed:
            parts.append(r"[^\n\r]")
            continue
        parts.append(char)
    return compiled("".join(parts))


def _words(trouble: Exception) -> str:
    said = trouble.args[0] if trouble.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return text or "it cannot be compiled"
