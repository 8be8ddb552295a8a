"""One check as a row of plain numbers and texts: what the hot files and the packed blobs hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec.structs import astuple

from netpulse.model.check import Check, Failure, Result, Timings
from netpulse.storage.raw.names import LATEST

Row = tuple[
    int,  # due, Unix milliseconds
    str,  # region
    int,  # counted, 1 or 0
    int,  # lag: started less due, milliseconds; negative where the clock was set back
    int,  # result, see RESULTS
    int | None,  # status code
    str | None,  # failure
    str | None,  # detail
    str | None,  # message
    int | None,  # dns, tenths of a millisecond
    int | None,  # connect
    int | None,  # tls
    int | None,  # first byte
    int | None,  # total
    int | None,  # response time less the rounded total (less 0 without one), milliseconds
]
"""The first three are the key of the row within its monitor. A check made by hand (counted 0)
never takes the place of the one its slot was due for, so `counted` is among them."""

DUE: Final = 0
REGION: Final = 1
COUNTED: Final = 2
LAG: Final = 3
RESULT: Final = 4
CODE: Final = 5
FAILURE: Final = 6
DETAIL: Final = 7
MESSAGE: Final = 8
DNS: Final = 9
CONNECT: Final = 10
TLS: Final = 11
FIRST_BYTE: Final = 12
TOTAL: Final = 13
RESPONSE: Final = 14
WIDTH = 15
TEXTS = (REGION, FAILURE, DETAIL, MESSAGE)
PHASES = (DNS, CONNECT, TLS, FIRST_BYTE)

RESULTS = (Result.UP, Result.DEGRADED, Result.DOWN, Result.INCONCLUSIVE)
"""Their places are stored: append only."""
_PLACE = {result: place for place, result in enumerate(RESULTS)}
UP, DEGRADED, DOWN, INCONCLUSIVE = range(4)

_WIDEST = 1 << 62


def place_of(result: Result) -> int:
    """Return the number that stands for `result` in a row."""
    return _PLACE[result]


def to_row(check: Check) -> Row:
    """Return `check` as a row; latencies are kept to the tenth of a millisecond.

    Raises:
        ValueError: a moment outside the years 1970 to 9999, or a number no check can have.
    """
    due = check.due_at
    if not 0 <= due < LATEST:
        raise ValueError(f"a check cannot be due at {due}")
    # Each of a thousand checks a second comes through here: no call where there is nothing to do.
    dns, connect, tls, first_byte, total = astuple(check.timings)
    tenths = None if total is None else round(total * 10)
    failure, detail, message = check.failure, check.detail, check.message
    response = check.response_time_ms
    row = (
        due,
        check.region,
        1 if check.counted else 0,
        check.started_at - due,
        _PLACE[check.result],
        check.status_code,
        None if failure is None else failure.value,
        None if detail is None else _storable(detail),
        None if message is None else _storable(message),
        None if dns is None else round(dns * 10),
        None if connect is None else round(connect * 10),
        None if tls is None else round(tls * 10),
        None if first_byte is None else round(first_byte * 10),
        tenths,
        None if response is None else response - rounded(tenths),
    )
    for value in row:
        if value.__class__ is int and not -_WIDEST < value < _WIDEST:
            raise ValueError(f"{value} is no number of a check")
    return row


def to_check(row: Row) -> Check:
    """Return the check that `row` stands for."""
    due, region, counted, lag, result, code, failure, detail, message = row[:DNS]
    dns, connect, tls, first_byte, total, response = row[DNS:]
    return Check(
        due_at=due,
        started_at=due + lag,
        result=RESULTS[result],
        response_time_ms=None if response is None else response + rounded(total),
        status_code=code,
        failure=None if failure is None else Failure(failure),
        detail=detail,
        message=message,
        # A day of checks is thousands of these: no call for each number.
        timings=Timings(
            None if dns is None else dns / 10,
            None if connect is None else connect / 10,
            None if tls is None else tls / 10,
            None if first_byte is None else first_byte / 10,
            None if total is None else total / 10,
        ),
        region=region,
        counted=counted == 1,
    )


def rounded(tenths: int | None) -> int:
    """Return tenths of a millisecond as whole milliseconds, 0 for none."""
    return 0 if tenths is None else round(tenths / 10)


def unite(parts: Iterable[Iterable[Row]]) -> list[Row]:
    """Return the rows of all parts in the order of their keys, each key once; the last one wins."""
    rows = {row[:3]: row for part in parts for row in part}
    return [row for _, row in sorted(rows.items())]


def _storable(text: str) -> str:
    # A target can make half a surrogate pair appear in an error; SQLite stores UTF-8 only.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
