"""What benches have kept, read and written down: values that may be missing, and a page of tables.

Nothing is measured here. A value that no bench has kept is said to be not measured, and one that
misses its target is marked; every value that has a target is counted for the page's summary.
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NOT_MEASURED = "not measured"
MET, MISSED = "✓", "missed"
WIDTH = 100
"""Characters of a line of text."""


class Kept:
    """A file of results, or a part of one."""

    def __init__(self, found: Any = None) -> None:
        """Take what was read; None where there is nothing."""
        self._found = found

    @classmethod
    def read(cls, path: Path) -> Kept:
        """Return what a file has, and nothing where there is no such file."""
        return cls(json.loads(path.read_text("utf-8"))) if path.is_file() else cls()

    def __bool__(self) -> bool:
        """Tell whether anything is there."""
        return self._found is not None

    def at(self, *keys: str) -> Kept:
        """Return the part that is reached by these keys."""
        found = self._found
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return Kept(found)

    def number(self, *keys: str) -> float | None:
        """Return a number; None where there is none, or one that says nothing (NaN)."""
        found = self.at(*keys)._found
        if isinstance(found, bool) or not isinstance(found, int | float):
            return None
        return found if math.isfinite(found) else None

    def truth(self, *keys: str) -> bool | None:
        """Return whether something is so; None where that is not known."""
        found = self.at(*keys)._found
        return found if isinstance(found, bool) else None

    def text(self, *keys: str) -> str:
        """Return a text, and "" where there is none."""
        found = self.at(*keys)._found
        return found if isinstance(found, str) else ""

    def all(self, *keys: str) -> list[Kept]:
        """Return the members of a list."""
        found = self.at(*keys)._found
        return [Kept(each) for each in found] if isinstance(found, list) else []

    def items(self, *keys: str) -> Iterator[tuple[str, Kept]]:
        """Yield the names and parts of what is reached by these keys."""
        found = self.at(*keys)._found
        for name, each in found.items() if isinstance(found, dict) else ():
            yield name, Kept(each)

    def row(self, rows: str, **wanted: object) -> Kept:
        """Return the first of `rows` whose values are these."""
        for each in self.all(rows):
            if all(each.at(key)._found == value for key, value in wanted.items()):
                return each
        return Kept()

    def of(self, **least: float) -> Kept:
        """Return this, and nothing where one of these is smaller: targets are for what is that
        large at least, and what was tried on less meets none of them."""
        small = any((self.number(key) or 0) < value for key, value in least.items())
        return Kept() if small else self

    def target(self, key: str, otherwise: float | None = None) -> float | None:
        """Return the target that was kept beside a figure, and `otherwise` where none was."""
        kept = self.number("targets", key)
        return otherwise if kept is None else kept


def written(value: float) -> str:
    """Return a number as people read it: thousands parted, no digits that say nothing."""
    if value == int(value):
        return f"{int(value):,}"
    digits = 0 if abs(value) >= 1_000 else 1 if abs(value) >= 100 else 3
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def amount(value: float | None, unit: str = "") -> str:
    """Return a value with its unit, or that there is none."""
    if value is None:
        return NOT_MEASURED
    return f"{written(value)} {unit}".strip()


def wrapped(*words: str) -> list[str]:
    """Return text in lines of at most WIDTH characters, where its words let it."""
    return textwrap.wrap(" ".join(words), WIDTH, break_long_words=False, break_on_hyphens=False)


def linked(title: str) -> str:
    """Return a link to a chapter: small letters, spaces as hyphens, no other signs."""
    return f"[{title}](#{re.sub('[^a-z0-9 -]', '', title.lower()).replace(' ', '-')})"


def several(unit: str, *values: float | None) -> str:
    """Return values of one unit in a row: `10, 21, 24 ms`."""
    if all(value is None for value in values):
        return NOT_MEASURED
    return f"{', '.join('?' if each is None else written(each) for each in values)} {unit}".strip()


def bar(value: float, most: float, width: int = 20) -> str:
    """Return a bar of blocks as long as `value` is of `most`, an eighth of a block exact."""
    eighths = max(1, round(value / most * width * 8))
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _is_of_figures(column: Sequence[str]) -> bool:
    others = (NOT_MEASURED, "yes", "no", f"yes {MET}", f"**no, {MISSED}**")
    cells = [cell for cell in column if cell and cell not in others]
    return bool(cells) and all(re.match(r"[*]*(at least )?-?[0-9]", cell) for cell in cells)


@dataclass
class Page:
    """A page that grows, and what its figures are beside their targets."""

    lines: list[str] = field(default_factory=list)
    met: int = 0
    missed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    chapters: list[str] = field(default_factory=list)
    _chapter: str = ""

    def chapter(self, title: str, *words: str, command: str = "") -> None:
        """Begin a chapter: its heading, what it is about, and the command that measures it."""
        self._chapter = title
        self.chapters.append(title)
        self.lines += [f"## {title}", ""]
        if words:
            self.text(*words)
        if command:
            self.text(f"Measured by `{command}`.")

    def text(self, *words: str) -> None:
        """Add a paragraph."""
        self.lines += [*wrapped(*words), ""]

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table; columns of figures are set to the right."""
        columns = list(zip(*rows, strict=True))[1:]
        rules = ["---", *("---:" if _is_of_figures(each) else "---" for each in columns)]
        self.lines += [f"| {' | '.join(head)} |", f"|{'|'.join(rules)}|"]
        self.lines += [f"| {' | '.join(row)} |" for row in rows]
        self.lines.append("")

    def held(
        self,
        what: str,
        value: float | None,
        goal: float | None,
        unit: str = "",
        *,
        least: bool = False,
    ) -> str:
        """Return a figure, held against what it may be at most (`least`: at least), and count it.
        Without a goal it is the figure alone."""
        shown = amount(value, unit)
        if goal is None:
            return shown
        name = f"{linked(self._chapter)}: {what}"
        wanted = f"at {'least' if least else 'most'} {amount(goal, unit)}"
        if value is None:
            self.missing.append(f"{name} ({wanted})")
            return shown
        if value >= goal if least else value <= goal:
            self.met += 1
            return f"{shown} {MET}"
        self.missed.append(f"{name}, {shown} ({wanted})")
        return f"**{shown}, {MISSED}**"

    def line(
        self,
        what: str,
        value: float | None,
        goal: float | None = None,
        unit: str = "",
        *,
        least: bool = False,
    ) -> tuple[str, str, str]:
        """Return the row of a table of figures: what it is, the figure, its target."""
        sense = "at least " if least else ""
        shown = "" if goal is None else f"{sense}{amount(goal, unit)}"
        return what, self.held(what, value, goal, unit, least=least), shown

    def truth(self, what: str, is_so: bool | None) -> tuple[str, str, str]:
        """Return the row of a table for what has to be so, and count it; None: it is not known."""
        if is_so is None:
            self.missing.append(f"{linked(self._chapter)}: {what}")
            return what, NOT_MEASURED, "yes"
        if is_so:
            self.met += 1
            return what, f"yes {MET}", "yes"
        self.missed.append(f"{linked(self._chapter)}: {what}, no")
        return what, f"**no, {MISSED}**", "yes"

    def figure(
        self, what: str, row: Kept, key: str, unit: str = "", otherwise: float | None = None
    ) -> tuple[str, str, str]:
        """Return the row of a table for a figure that was kept, beside the target that was kept
        with it; `otherwise` is its target where none was."""
        return self.line(what, row.number(key), row.target(key, otherwise), unit)


FIGURES = ("", "measured", "target")
"""The head of a table of figures."""
