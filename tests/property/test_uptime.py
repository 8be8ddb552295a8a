"""The laws of the account: five parts are the period, outages are the down time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from netpulse.model.maintenance import Window
from netpulse.model.time import DAY, HOUR
from netpulse.model.watch import Gap, Span, Status, UnknownReason
from netpulse.rules.days import days
from netpulse.rules.maintenance import merged
from netpulse.rules.uptime import account, percent

T = 1_700_000_000_000

# Half seconds and odd milliseconds, close enough together to collide within a second.
offsets = st.one_of(st.integers(-20, 120).map(lambda n: n * 500), st.integers(-9_000, 60_000))


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    moments = sorted(draw(st.lists(offsets, max_size=12, unique=True)))
    found: list[Span] = []
    incident = 0
    for moment in moments:
        status = draw(st.sampled_from([*Status]))
        before = found[-1] if found else None
        if status is Status.DOWN:
            survived = before is not None and before.status in {Status.DOWN, Status.UNKNOWN}
            if not survived or draw(st.booleans()):
                incident += 1
        reason = draw(st.sampled_from([None, *UnknownReason]))
        found.append(
            Span(
                T + moment,
                status,
                reason if status is Status.UNKNOWN else None,
                f"i{incident}" if status is Status.DOWN else None,
            )
        )
    return found


@st.composite
def gaps(draw: st.DrawFn) -> list[Gap]:
    pairs = draw(st.lists(st.tuples(offsets, offsets), max_size=6))
    return [
        Gap(T + min(pair), T + max(pair), draw(st.sampled_from([*UnknownReason]))) for pair in pairs
    ]


@st.composite
def windows(draw: st.DrawFn) -> list[Window]:
    pairs = draw(st.lists(st.tuples(offsets, offsets), max_size=5))
    return [Window(T + min(pair), T + max(pair)) for pair in pairs]


@given(offsets, offsets, spans(), gaps(), offsets, windows())
def test_every_second_is_in_one_part(
    begin: int,
    finish: int,
    found: list[Span],
    unwatched: list[Gap],
    now: int,
    maintained: list[Window],
) -> None:
    start, end = T + min(begin, finish), T + max(begin, finish)

    one = account(start, end, found, unwatched, T + now, maintained)

    assert one.start == start
    assert start <= one.end <= max(start, min(end, T + now))
    parts = [
        one.up_seconds,
        one.degraded_seconds,
        one.down_seconds,
        one.maintenance_seconds,
        one.unknown_seconds,
    ]
    assert all(part >= 0 for part in parts)
    assert sum(parts) == one.period_seconds
    assert sum(one.unknown_reasons.values()) == one.unknown_seconds
    assert set(one.unknown_reasons) == set(UnknownReason)
    assert all(seconds >= 0 for seconds in one.unknown_reasons.values())

    assert sum(outage.duration_seconds for outage in one.outages) == one.down_seconds
    assert all(outage.duration_seconds >= 0 for outage in one.outages)
    for outage in one.outages:
        assert outage.started_at < one.end or one.period_seconds == 0
        assert outage.ended_at is None or outage.ended_at > outage.started_at

    assert one.coverage_percent is None or 0 <= one.coverage_percent <= 100
    assert one.uptime_percent_time is None or 0 <= one.uptime_percent_time <= 100


FIRST = T - T % DAY
STRETCHED = 4_000
"""Half a second becomes two thousand: the same stories over a week."""


@given(spans(), gaps(), windows(), st.integers(-1, 8 * 24))
def test_a_day_is_the_account_of_its_time(
    found: list[Span], unwatched: list[Gap], maintained: list[Window], hours: int
) -> None:
    def late(at: int) -> int:
        return FIRST + (at - T) * STRETCHED

    found = [replace(span, at=late(span.at)) for span in found]
    unwatched = [replace(gap, start=late(gap.start), end=late(gap.end)) for gap in unwatched]
    maintained = merged([Window(late(one.start), late(one.end)) for one in maintained])
    now = FIRST + hours * HOUR

    for number, day in enumerate(days(FIRST, 8, found, unwatched, now, maintained)):
        assert day.start == FIRST + number * DAY
        one = account(day.start, day.start + DAY, found, unwatched, now, maintained)
        assert (day.up_seconds, day.degraded_seconds, day.down_seconds) == (
            one.up_seconds,
            one.degraded_seconds,
            one.down_seconds,
        )
        assert day.outages == sum(outage.duration_seconds > 0 for outage in one.outages)


@given(offsets, offsets, offsets, spans(), gaps(), windows())
def test_two_neighbouring_periods_are_their_sum(
    one: int,
    two: int,
    three: int,
    found: list[Span],
    unwatched: list[Gap],
    maintained: list[Window],
) -> None:
    start, middle, end = (T + moment for moment in sorted((one, two, three)))

    def seconds(begin: int, finish: int) -> list[int]:
        done = account(begin, finish, found, unwatched, T + 10**9, maintained)
        return [
            done.up_seconds,
            done.degraded_seconds,
            done.down_seconds,
            done.maintenance_seconds,
            *done.unknown_reasons.values(),
        ]

    halves = zip(seconds(start, middle), seconds(middle, end), strict=True)
    assert [first + second for first, second in halves] == seconds(start, end)


@given(offsets, offsets, spans())
def test_a_gap_over_everything_leaves_nothing_known(
    begin: int, finish: int, found: list[Span]
) -> None:
    start, end = T + min(begin, finish), T + max(begin, finish)
    blind = Gap(start - 5_000, end + 5_000, UnknownReason.STOPPED)

    one = account(start, end, found, [blind], end)

    assert one.unknown_seconds == one.period_seconds
    assert one.down_seconds == 0


@given(offsets, offsets, spans(), gaps(), windows())
def test_maintenance_takes_from_what_was_known_and_gives_nothing_back(
    begin: int, finish: int, found: list[Span], unwatched: list[Gap], maintained: list[Window]
) -> None:
    start, end = T + min(begin, finish), T + max(begin, finish)
    without = account(start, end, found, unwatched, end)

    one = account(start, end, found, unwatched, end, maintained)

    assert one.up_seconds <= without.up_seconds
    assert one.degraded_seconds <= without.degraded_seconds
    assert one.down_seconds <= without.down_seconds
    assert one.maintenance_seconds >= without.maintenance_seconds
    paused, stopped = UnknownReason.PAUSED, UnknownReason.STOPPED
    assert one.unknown_reasons[paused] == without.unknown_reasons[paused]
    assert one.unknown_reasons[stopped] <= without.unknown_reasons[stopped]
    everything = [Window(start - 5_000, end + 5_000)]
    all_of_it = account(start, end, found, (), end, everything)
    # One within a single second has nothing that could be maintenance.
    assert sum(outage.duration_seconds for outage in all_of_it.outages) == 0
    assert all_of_it.maintenance_seconds == (
        all_of_it.period_seconds - all_of_it.unknown_reasons[paused]
    )


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_a_percentage_never_flatters(part: int, whole: int) -> None:
    part = min(part, whole)

    said = percent(part, whole)

    assert said is not None
    assert said * whole <= 100 * part * (1 + 1e-12)
    assert (said == 100) is (part == whole)
