"""A verdict comes out of any reading: bodies, charsets and expressions raise nothing."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from netpulse.model.check import Failure, Reading, Result, Timings
from netpulse.model.monitor import HttpsSpec, IcmpSpec, MonitorSpec, TcpSpec
from netpulse.rules.documents import DocumentError, PathError, first
from netpulse.rules.verdict import good_ping_within, is_heavy, judge

NOW = 1_735_732_920_000

bodies = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b"", b"ok", b'{"a": [1, {"b": null}]}', b"[" * 2_000, b'"\xff"', b"\xfe\xff"]),
)
charsets = st.one_of(
    st.none(), st.text(max_size=10), st.sampled_from(["utf-8", "utf-16", "latin-1", "gbk", "hex"])
)
readings = st.builds(
    Reading,
    timings=st.builds(Timings, total_ms=st.one_of(st.none(), st.floats(0, 1e6))),
    failure=st.one_of(st.none(), st.sampled_from([*Failure])),
    error=st.one_of(st.none(), st.just("connection refused by 192.0.2.7:443")),
    address=st.one_of(st.none(), st.just("192.0.2.7")),
    status_code=st.one_of(st.none(), st.integers(100, 999)),
    body=bodies,
    body_complete=st.booleans(),
    charset=charsets,
    final_url=st.one_of(st.none(), st.text(max_size=20), st.just("https://shop.example/")),
)
specs: st.SearchStrategy[MonitorSpec] = st.one_of(
    st.builds(
        HttpsSpec,
        name=st.just("shop"),
        target=st.just("https://shop.example"),
        invert=st.booleans(),
        degraded_after_ms=st.one_of(st.none(), st.integers(1, 10_000)),
        body_match=st.one_of(st.none(), st.text(min_size=1, max_size=3)),
        body_not_match=st.one_of(st.none(), st.text(min_size=1, max_size=3)),
        body_regex=st.sampled_from([None, "o.", "^$", r"\pL+", "(?s).*"]),
        json_path=st.sampled_from([None, "$", "$.a", "$..b", "$[?@.a]", "$.a[?search(@, 'x')]"]),
        json_value=st.sampled_from([msgspec.UNSET, None, 1, True, "x", [1], {"a": 1}]),
    ),
    st.builds(
        TcpSpec,
        name=st.just("db"),
        target=st.just("db.example:1"),
        invert=st.booleans(),
        expect=st.one_of(st.none(), st.text(min_size=1, max_size=3)),
    ),
)


@given(specs, readings, st.floats(0, 1e5))
def test_every_reading_has_a_verdict(spec: MonitorSpec, reading: Reading, lag: float) -> None:
    verdict = judge(spec, reading, own_lag_ms=lag, now=NOW)

    assert (verdict.message is None) is (verdict.result is Result.UP)
    if verdict.result in {Result.DOWN, Result.INCONCLUSIVE}:
        assert verdict.failure is not None
    else:
        assert verdict.failure is None
    assert len(verdict.message or "") < 500
    assert is_heavy(spec, reading) in {True, False}
    assert judge(spec, reading, own_lag_ms=lag, now=NOW) == verdict


@given(st.text("$.[]?@'\"*:,0129abc&|()=!<> -e+", max_size=40), bodies)
def test_any_expression_is_refused_or_evaluated(expression: str, body: bytes) -> None:
    document = {"a": [1, "x", {"b": None, "c": body.decode("latin-1")}], "b": {"a": True}}
    said = "evaluated"
    try:
        first(f"${expression}", document)
    except (PathError, DocumentError) as trouble:
        said = str(trouble)
    assert said


@given(
    st.builds(
        IcmpSpec,
        name=st.just("host"),
        target=st.just("192.0.2.7"),
        packets=st.just(1),
        invert=st.booleans(),
        degraded_after_ms=st.one_of(st.none(), st.integers(1, 5_000)),
        max_loss_percent=st.integers(1, 100),
        degraded_loss_percent=st.integers(1, 100),
    ),
    st.floats(0, 10_000),
    st.floats(0, 1e5),
)
def test_what_is_known_of_a_ping_beforehand_is_its_verdict(
    spec: IcmpSpec, took: float, lag: float
) -> None:
    reading = Reading(
        timings=Timings(dns_ms=0.0, total_ms=took),
        address="192.0.2.7",
        packets_sent=1,
        packets_received=1,
    )
    within = good_ping_within(spec)
    good = judge(spec, reading, own_lag_ms=lag, now=NOW).result is Result.UP
    assert good is (within is not None and took <= within)
