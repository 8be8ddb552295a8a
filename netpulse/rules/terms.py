"""What a condition is made of: comparisons of measures, and what `and` and `or` make of them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis

RESPONSE_TIME = "response_time_ms"
CERTIFICATE_DAYS = "certificate_days"
FED = frozenset({RESPONSE_TIME, CERTIFICATE_DAYS})
"""The measures that something feeds; each is a whole number."""

UNITS: dict[str, Millis] = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}

MOST_ALTERNATIVES = 64
"""How many ways to be true one condition may have."""


class Comparison(Struct, frozen=True, order=True):
    """A measure held against a number, for some time or at one check."""

    measure: str
    """One of FED."""
    operator: str
    """>, >=, <, <=, = or !=."""
    number: float
    window_ms: Millis = 0
    """How long it must have been so; 0: at the last check."""

    def holds(self, value: float) -> bool:
        """Tell whether `value` of the measure meets this."""
        return OPERATORS[self.operator](value, self.number)

    @property
    def text(self) -> str:
        """The comparison as it is written in a condition."""
        duration = f" for {duration_text(self.window_ms)}" if self.window_ms else ""
        return f"{self.measure} {self.operator} {number_text(self.number)}{duration}"


class Term(Struct, frozen=True):
    """One way for a condition to be true: a state, comparisons, or both at once."""

    state: str | None
    """The word that must be so; of a monitor, the state that must be confirmed."""
    comparisons: tuple[Comparison, ...]
    """In a fixed order, whatever the order in the text."""

    @property
    def measures(self) -> frozenset[str]:
        """The measures that it speaks of."""
        return frozenset(one.measure for one in self.comparisons)

    @property
    def text(self) -> str:
        """The term as it is written in a condition: the same for all that mean the same."""
        state = () if self.state is None else (self.state,)
        return " and ".join((*state, *(one.text for one in self.comparisons)))


def both(left: Term, right: Term) -> Term | None:
    """Return what is true when both are, or None where that is never so."""
    if left.state is not None and right.state is not None and left.state != right.state:
        return None  # a monitor is in one state at a time
    state = left.state or right.state
    comparisons = tuple(sorted({*left.comparisons, *right.comparisons}))
    if comparisons and (state == "system" or never(comparisons)):
        return None  # system speaks of no monitor, and so of no measure
    return Term(state, comparisons)


def distinct(found: Iterable[Term]) -> tuple[Term, ...]:
    """Return the alternatives without those that another one contains already.

    Where they are far more than MOST_ALTERNATIVES, as many of them as show it.
    """
    some: dict[Term, None] = {}
    for one in found:
        some[one] = None
        if len(some) > 4 * MOST_ALTERNATIVES:
            return tuple(some)
    return tuple(one for one in some if not any(_contains(other, one) for other in some))


def _contains(wide: Term, narrow: Term) -> bool:
    """Tell whether `wide`, another than `narrow`, is true whenever `narrow` is."""
    return (
        wide != narrow
        and wide.state in {None, narrow.state}
        and set(wide.comparisons) <= set(narrow.comparisons)
    )


def never(comparisons: Sequence[Comparison]) -> bool:
    """Tell whether no value of a measure meets all of them at once.

    Measures are whole numbers: if any meets them, one of those around a bound does.
    """
    for measure in {one.measure for one in comparisons}:
        about = [one for one in comparisons if one.measure == measure]
        around = {math.floor(one.number) + step for one in about for step in (-1, 0, 1, 2)}
        if measure == RESPONSE_TIME:
            around = {value for value in around if value >= 0} | {0}
        if not any(all(one.holds(value) for one in about) for value in around):
            return True
    return False


def number_text(value: float, *, grouped: bool = False) -> str:
    """Return a number as a condition writes it, or as people read it (`grouped`: 1,240)."""
    comma = "," if grouped else ""
    return f"{value:{comma}.0f}" if value.is_integer() else f"{value:{comma}}"


def duration_text(milliseconds: Millis) -> str:
    """Return a duration as a condition writes it, in the largest unit that fits."""
    for unit in "dhm":
        if milliseconds % UNITS[unit] == 0:
            return f"{milliseconds // UNITS[unit]}{unit}"
    return f"{milliseconds // SECOND}s"
