"""The account of a stretch of a monitor's time: every second is in exactly one of five parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.maintenance import Window
from netpulse.model.time import SECOND, Millis
from netpulse.model.watch import Gap, Span, Status, UnknownReason

_PLACES = 10_000


class Outage(Struct, frozen=True, kw_only=True):
    """The part of one incident that lies in the period."""

    incident_id: Id | None
    started_at: Millis
    """The first failing check, also where that was before the period."""
    ended_at: Millis | None
    """The first good check; null while it lasts, as far as the period shows."""
    duration_seconds: int
    """Its down seconds inside the period; those of all outages add up to `down_seconds`."""


class Account(Struct, frozen=True, kw_only=True):
    """Where the seconds from `start` to `end` went. The five parts are the period."""

    start: Millis
    end: Millis
    up_seconds: int
    degraded_seconds: int
    down_seconds: int
    maintenance_seconds: int
    unknown_seconds: int
    unknown_reasons: dict[UnknownReason, int]
    """Seconds by reason, all five of them; they add up to `unknown_seconds`."""
    outages: tuple[Outage, ...]

    @property
    def period_seconds(self) -> int:
        """Whole seconds from start to end."""
        return self.end // SECOND - self.start // SECOND

    @property
    def uptime_percent_time(self) -> float | None:
        """(up + degraded) / (up + degraded + down), rounded down at 4 decimals; null without."""
        good = self.up_seconds + self.degraded_seconds
        return percent(good, good + self.down_seconds)

    @property
    def coverage_percent(self) -> float | None:
        """The share of the period that somebody vouches for; null for an empty period."""
        return percent(self.period_seconds - self.unknown_seconds, self.period_seconds)


class _Piece(Struct, frozen=True):
    """A stretch in whole Unix seconds, end excluded."""

    start: int
    end: int
    status: Status
    reason: UnknownReason | None
    outage: int | None
    """Which outage it belongs to, by number; set where it is down, maintenance over it or not."""


def account(
    start: Millis,
    end: Millis,
    spans: Sequence[Span],
    gaps: Sequence[Gap],
    now: Millis,
    maintained: Sequence[Window] = (),
) -> Account:
    """Return where the time from `start` to `end` went (all in Unix milliseconds).

    `spans` are in the order of time and begin with the one in force at `start`, if any. The
    stretches in maintenance lie over them, and `gaps` over both: in a gap nobody watched, whatever
    the state before it. An outage that lies in maintenance altogether is none. The future is left
    out: the period ends at `now` at the latest. Every boundary is cut to whole seconds before
    anything is counted, so that the parts add up. Pending time, and time before the first span, is
    unknown.
    """
    end = max(start, min(end, now))
    begun, ended = start // SECOND, end // SECOND
    parts = dict.fromkeys(Status, 0)
    reasons = dict.fromkeys(UnknownReason, 0)
    outages = _outages(start, end, spans)
    durations = [0] * len(outages)
    excused = [0] * len(outages)
    pieces = _cut(_pieces(begun, ended, spans, outages), _windows(maintained))
    for piece in _cut(pieces, disjoint(gaps)):
        length = piece.end - piece.start
        parts[piece.status] += length
        if piece.status is Status.UNKNOWN:
            reasons[piece.reason or UnknownReason.STALE] += length
        elif piece.outage is not None and piece.status is Status.MAINTENANCE:
            excused[piece.outage] += length
        elif piece.outage is not None:
            durations[piece.outage] += length
    return Account(
        start=start,
        end=end,
        up_seconds=parts[Status.UP],
        degraded_seconds=parts[Status.DEGRADED],
        down_seconds=parts[Status.DOWN],
        maintenance_seconds=parts[Status.MAINTENANCE],
        unknown_seconds=parts[Status.UNKNOWN],
        unknown_reasons=reasons,
        outages=tuple(
            Outage(
                incident_id=outage.incident_id,
                started_at=outage.started_at,
                ended_at=outage.ended_at,
                duration_seconds=seconds,
            )
            for outage, seconds, free in zip(outages, durations, excused, strict=True)
            if seconds or not free
        ),
    )


def uptime_percent(checks: int, downs: int) -> float | None:
    """Return (checks - downs) / checks in percent, rounded down at 4 decimals.

    None without a check. Both counts leave out inconclusive checks, those in a maintenance, and
    those that somebody ran by hand.
    """
    return percent(checks - downs, checks)


def percent(part: int, whole: int) -> float | None:
    """Return part / whole in percent, rounded down at 4 decimals; None for nothing of nothing.

    Down, so that 100 is said only where nothing was missing.
    """
    if whole <= 0:
        return None
    return part * 100 * _PLACES // whole / _PLACES


class _Episode(Struct):
    """An outage while it is put together; `first` to `last` number its down spans."""

    incident_id: Id | None
    started_at: Millis
    spans: list[int]
    ended_at: Millis | None = None


def _outages(start: Millis, end: Millis, spans: Sequence[Span]) -> list[_Episode]:
    """Return the outages that touch the period: one an incident, in the order of time."""
    found: list[_Episode] = []
    lasting: _Episode | None = None
    for number, span in enumerate(spans):
        until = spans[number + 1].at if number + 1 < len(spans) else end
        if span.status is Status.DOWN:
            if lasting is not None and lasting.incident_id != span.incident_id:
                lasting.ended_at = span.at
                lasting = None
            if lasting is None:
                lasting = _Episode(span.incident_id, span.at, [])
            if span.at < end and until > start:
                if not lasting.spans:
                    found.append(lasting)
                lasting.spans.append(number)
        elif lasting is not None and span.status is not Status.UNKNOWN:
            # An incident survives unknown time; anything else ends it.
            lasting.ended_at = span.at
            lasting = None
    return found


def _pieces(
    begun: int, ended: int, spans: Sequence[Span], outages: Sequence[_Episode]
) -> Iterator[_Piece]:
    """Yield the spans in whole seconds, cut to the period, from its start to its end."""
    of_span = {span: number for number, outage in enumerate(outages) for span in outage.spans}
    at = begun
    first = min(max(spans[0].at // SECOND, begun), ended) if spans else ended
    if first > at:
        yield _Piece(at, first, Status.UNKNOWN, UnknownReason.STALE, None)
        at = first
    for number, span in enumerate(spans):
        until = spans[number + 1].at // SECOND if number + 1 < len(spans) else ended
        until = min(until, ended)
        if until <= at:
            continue
        status, reason = _shown(span)
        yield _Piece(at, until, status, reason, of_span.get(number))
        at = until


def _shown(span: Span) -> tuple[Status, UnknownReason | None]:
    if span.status is Status.PAUSED:
        return Status.UNKNOWN, UnknownReason.PAUSED
    if span.status is Status.PENDING:
        return Status.UNKNOWN, UnknownReason.STALE
    return span.status, span.reason


class Hole(Struct, frozen=True):
    """What lies over the spans, in whole Unix seconds, end excluded: a gap without what an earlier
    one covers already, or (without a reason) maintenance."""

    start: int
    end: int
    reason: UnknownReason | None


def _windows(maintained: Sequence[Window]) -> list[Hole]:
    """Return the stretches in maintenance in the order of time, none over another."""
    found: list[Hole] = []
    covered = 0
    for one in sorted(maintained, key=lambda one: (one.start, one.end)):
        start, end = max(one.start // SECOND, covered), one.end // SECOND
        if start < end:
            found.append(Hole(start, end, None))
            covered = end
    return found


def disjoint(gaps: Sequence[Gap]) -> list[Hole]:
    """Return the gaps in the order of time, none over another: of two, the earlier one counts."""
    found: list[Hole] = []
    covered = 0
    for gap in sorted(gaps, key=lambda gap: (gap.start, gap.end)):
        start, end = max(gap.start // SECOND, covered), gap.end // SECOND
        if start < end:
            found.append(Hole(start, end, gap.reason))
            covered = end
    return found


def _cut(pieces: Iterator[_Piece], holes: Sequence[Hole]) -> Iterator[_Piece]:
    """Yield the pieces with the holes laid over them. A paused stretch stays paused.

    One walk along both: a quarter of flapping has tens of thousands of pieces.
    """
    place = 0
    for piece in pieces:
        at = piece.start
        if piece.reason is UnknownReason.PAUSED:
            yield piece
            continue
        while place < len(holes) and holes[place].start < piece.end:
            hole = holes[place]
            start, end = max(hole.start, at), min(hole.end, piece.end)
            if start < end:
                if start > at:
                    yield _Piece(at, start, piece.status, piece.reason, piece.outage)
                if hole.reason is None:
                    yield _Piece(start, end, Status.MAINTENANCE, None, piece.outage)
                else:
                    yield _Piece(start, end, Status.UNKNOWN, hole.reason, None)
                at = end
            if hole.end > piece.end:
                break  # it reaches into the next piece
            place += 1
        if at < piece.end:
            yield _Piece(at, piece.end, piece.status, piece.reason, piece.outage)
