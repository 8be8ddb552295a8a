"""One check as a row of plain numbers and texts: what the hot files and the packed blobs hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

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
    if not 0 <= check.due_at < LATEST:
        raise ValueError(f"a check cannot be due at {check.due_at}")
    timings = check.timings
    total = _tenths(timings.total_ms)
    response = check.response_time_ms
    row = (
        check.due_at,
        check.region,
        1 if check.counted else 0,
        check.started_at - check.due_at,
        _PLACE[check.result],
        check.status_code,
        None if check.failure is None else check.failure.value,
        _storable(check.detail),
        _storable(check.message),
        _tenths(timings.dns_ms),
        _tenths(timings.connect_ms),
        _tenths(timings.tls_ms),
        _tenths(timings.first_byte_ms),
        total,
        None if response is None else response - rounded(total),
    )
    for value in row:
        if isinstance(value, int) and not -_WIDEST < value < _WIDEST:
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


def _storable(text: str | None) -> str | None:
    # A target can make half a surrogate pair appear in an error; SQLite stores UTF-8 only.
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def _tenths(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds * 10)
