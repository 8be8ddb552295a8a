"""What a reading means, and the words for it: product text, asserted letter by letter."""

from __future__ import annotations

import codecs
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from netpulse.model.check import (
    OWN_FAILURES,
    Certificate,
    Failure,
    Reading,
    Result,
    Timings,
    Verdict,
)
from netpulse.model.monitor import HttpSpec, HttpsSpec, TcpSpec
from netpulse.model.time import DAY, HOUR
from netpulse.rules import bodies
from netpulse.rules.bodies import LONGEST
from netpulse.rules.verdict import is_heavy, judge

NOW = 1_735_732_920_000
UP = Verdict(Result.UP)


def http(**more: Any) -> HttpSpec:
    return HttpSpec(name="shop", target=more.pop("target", "http://shop.example/"), **more)


def https(**more: Any) -> HttpsSpec:
    return HttpsSpec(name="shop", target="https://shop.example/", **more)


def tcp(**more: Any) -> TcpSpec:
    return TcpSpec(name="db", target="db.example:5432", **more)


def answer(status: int = 200, body: bytes = b"", **more: Any) -> Reading:
    return Reading(
        status_code=status,
        body=body,
        timings=Timings(total_ms=more.pop("total_ms", 50.0)),
        final_url=more.pop("final_url", "http://shop.example/"),
        address="192.0.2.7",
        **more,
    )


def connected(body: bytes = b"", **more: Any) -> Reading:
    return Reading(
        timings=Timings(connect_ms=1.0, total_ms=2.0), address="192.0.2.7", body=body, **more
    )


def down(failure: Failure, message: str, detail: str | None = None) -> Verdict:
    return Verdict(Result.DOWN, failure, detail, message)


def degraded(message: str, detail: str) -> Verdict:
    return Verdict(Result.DEGRADED, None, detail, message)


# ------------------------------------------------------------------ what the probe says


@pytest.mark.parametrize("failure", [one for one in Failure if one not in OWN_FAILURES])
def test_a_failure_of_the_target_is_down_in_the_words_of_the_probe(failure: Failure) -> None:
    reading = Reading(failure=failure, detail="more", error="connection refused by 192.0.2.7:443")

    for spec in (http(), https(), tcp()):
        verdict = judge(spec, reading, now=NOW)
        assert verdict == down(failure, "connection refused by 192.0.2.7:443", "more")


@pytest.mark.parametrize("failure", sorted(OWN_FAILURES))
def test_a_failure_of_our_own_is_inconclusive_whatever_was_asked(failure: Failure) -> None:
    reading = Reading(failure=failure, error="too many open files here")

    for spec in (http(), tcp(), http(invert=True), tcp(invert=True)):
        verdict = judge(spec, reading, own_lag_ms=99_000, now=NOW)
        assert verdict == Verdict(Result.INCONCLUSIVE, failure, None, "too many open files here")


@pytest.mark.parametrize("spec", [http(), https(), tcp()])
def test_no_data_is_never_up(spec: Any) -> None:
    assert judge(spec, Reading(), now=NOW) == Verdict(
        Result.INCONCLUSIVE,
        Failure.INTERNAL,
        None,
        "the probe brought back neither an answer nor a failure",
    )


# ------------------------------------------------------------------ status


@pytest.mark.parametrize(
    ("wanted", "status", "message"),
    [
        ("200-299", 200, None),
        ("200-299", 299, None),
        ("200-299", 503, "status 503, expected 200-299"),
        ("200-299", 301, "status 301, expected 200-299"),
        ("404", 404, None),
        ("404", 200, "status 200, expected 404"),
        (404, 404, None),
        (404, 200, "status 200, expected 404"),
        ((200, "300-399"), 304, None),
        ((200, "300-399"), 204, "status 204, expected 200 or 300-399"),
        ((200, 204, "300-399"), 500, "status 500, expected 200, 204 or 300-399"),
        (("200",), 201, "status 201, expected 200"),
    ],
)
def test_the_expected_status(wanted: Any, status: int, message: str | None) -> None:
    verdict = judge(http(expected_status=wanted), answer(status), now=NOW)

    assert verdict == (UP if message is None else down(Failure.STATUS, message))


# ------------------------------------------------------------------ body

BODY = [
    ({"body_match": "ok"}, b"all ok", None),
    ({"body_match": "ok"}, b"down", 'body does not contain "ok"'),
    ({"body_match": "ok"}, b"", 'body does not contain "ok"'),
    ({"body_match": 'say "hi"'}, b"", 'body does not contain "say \\"hi\\""'),
    ({"body_match": "x" * 200}, b"", f'body does not contain "{"x" * 99}…'),
    ({"body_match": "grün"}, "ist grün".encode(), None),
    ({"body_match": "Grün"}, "ist grün".encode(), 'body does not contain "Grün"'),
    ({"body_not_match": "error"}, b"all ok", None),
    ({"body_not_match": "error"}, b"an error", 'body contains "error"'),
    ({"body_match": "ok", "body_not_match": "error"}, b"ok, error", 'body contains "error"'),
    ({"body_regex": "version: [0-9]+"}, b"version: 12", None),
    ({"body_regex": "^version"}, b"a version", 'body does not match "^version"'),
    ({"body_regex": "(?i)OK|fine"}, b"it is Fine", None),
    ({"body_regex": "gr.n"}, "grün".encode(), None),
    ({"body_regex": "a.b"}, b"a\xffb", None),
    ({"json_path": "$.status"}, b'{"status": null}', None),
    ({"json_path": "$.status"}, b"{}", "body has nothing at $.status"),
    ({"json_path": "$.status", "json_value": "ok"}, b'{"status": "ok"}', None),
    (
        {"json_path": "$.status", "json_value": "ok"},
        b'{"status": "bad"}',
        '$.status is "bad", expected "ok"',
    ),
    ({"json_path": "$.n", "json_value": 1}, b'{"n": 1.0}', None),
    ({"json_path": "$.n", "json_value": 1.0}, b'{"n": 1}', None),
    ({"json_path": "$.n", "json_value": 1}, b'{"n": true}', "$.n is true, expected 1"),
    ({"json_path": "$.n", "json_value": True}, b'{"n": 1}', "$.n is 1, expected true"),
    ({"json_path": "$.n", "json_value": 0}, b'{"n": false}', "$.n is false, expected 0"),
    ({"json_path": "$.n", "json_value": 1}, b'{"n": "1"}', '$.n is "1", expected 1'),
    ({"json_path": "$.n", "json_value": None}, b'{"n": null}', None),
    ({"json_path": "$.n", "json_value": None}, b'{"n": 0}', "$.n is 0, expected null"),
    ({"json_path": "$.n", "json_value": None}, b"{}", "body has nothing at $.n"),
    ({"json_path": "$.n", "json_value": [1, {"a": True}]}, b'{"n": [1.0, {"a": true}]}', None),
    ({"json_path": "$.n", "json_value": [1]}, b'{"n": [true]}', "$.n is [true], expected [1]"),
    ({"json_path": "$[*]", "json_value": 2}, b"[1, 2]", "$[*] is 1, expected 2"),
    ({"json_path": "$.a[?@.up==true].n", "json_value": "b"}, b'{"a":[{"n":"a"},{"n":"b","up":true}]}', None),
    ({"json_path": "$[?match(@.n, 'web.')].up", "json_value": True}, b'[{"n":"db"},{"n":"web1","up":true}]', None),
    ({"json_path": "$"}, b'"up"', None),
    ({"json_path": "$", "json_value": "up"}, b'"up"', None),
    ({"json_path": "$", "json_value": 5}, b"\xef\xbb\xbf5", None),
    ({"json_path": "$.a"}, b"<html>", "body is not JSON: invalid character (byte 0)"),
    ({"json_path": "$.a"}, b"", "body is not JSON: Input data was truncated"),
    ({"json_path": "$.a"}, b"{} {}", "body is not JSON: trailing characters (byte 4)"),
    ({"json_path": "$.a"}, b'{"a": NaN}', "body is not JSON: invalid character (byte 6)"),
    ({"json_path": "$.a", "json_value": "\ufffd"}, b'{"a": "\xff"}', None),
    ({"json_path": "$..a"}, b"[" * 300 + b"]" * 300, "$..a cannot be looked for: the document is nested deeper than 100 levels"),
    ({"json_path": "$..a"}, b"[" * 5000 + b"]" * 5000, "body is not JSON: it is nested too deeply"),
    ({"json_path": "$..a"}, b"[" + b"0," * 200_000 + b"0]", None),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "body", "message"), BODY)
def test_the_body(wanted: dict[str, Any], body: bytes, message: str | None) -> None:
    verdict = judge(http(**wanted), answer(200, body), now=NOW)

    if body.startswith(b"[0,"):
        message = "body has nothing at $..a"
    if message is None:
        assert verdict == UP
    else:
        assert (verdict.result, verdict.failure) == (Result.DOWN, Failure.BODY)
        assert verdict.message == message


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"body_match": "ok"}, 'body does not contain "ok" in the first 1 MiB'),
        ({"body_regex": "o+k"}, 'body does not match "o+k" in the first 1 MiB'),
        ({"json_path": "$.a"}, "body is longer than 1 MiB: too long to look for $.a"),
    ],
)
def test_what_was_not_read_is_said(wanted: dict[str, Any], message: str) -> None:
    verdict = judge(http(**wanted), answer(200, b"{}", body_complete=False), now=NOW)

    assert verdict.message == message


def test_a_large_pattern_reaches_less_far_and_says_so() -> None:
    spec = http(body_regex="(a|b)*a[ab]{600}c")

    verdict = judge(spec, answer(200, b"x" * LONGEST), now=NOW)

    assert verdict.message == 'body does not match "(a|b)*a[ab]{600}c" in the first 643 KiB'


def test_no_more_than_a_mebibyte_is_judged() -> None:
    spec = http(body_not_match="needle")

    assert judge(spec, answer(200, b"x" * LONGEST + b"needle"), now=NOW) == UP
    assert judge(spec, answer(200, b"x" * (LONGEST - 6) + b"needle"), now=NOW) != UP


def test_what_is_found_early_does_not_need_the_rest() -> None:
    verdict = judge(http(body_match="ok"), answer(200, b"ok", body_complete=False), now=NOW)

    assert verdict == UP


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        (None, "grün".encode()),
        ("utf-8", "grün".encode()),
        ('"UTF-8"', "grün".encode()),
        ("utf-8", b"\xef\xbb\xbfgr\xc3\xbcn"),
        ("iso-8859-1", "grün".encode("latin-1")),
        ("Windows-1252", "grün".encode("cp1252")),
        ("utf-16", "grün".encode("utf-16")),
        ("no-such-charset", "grün".encode()),
        # Codecs of Python that are no charset, or slow, count as unknown.
        ("zlib", "grün".encode()),
        ("punycode", "grün".encode()),
        ("rot13", "grün".encode()),
        ("\x00", "grün".encode()),
        ("", "grün".encode()),
    ],
)
def test_the_charset_of_the_answer(charset: str | None, body: bytes) -> None:
    reading = answer(200, body, charset=charset)

    assert judge(http(body_match="grün"), reading, now=NOW) == UP
    assert judge(http(body_regex="^gr.n$"), reading, now=NOW) == UP


def test_charsets_go_by_pythons_own_names() -> None:
    assert bodies._KNOWN
    for name in bodies._KNOWN:
        assert bodies.codec(name) == name == codecs.lookup(name).name


def test_no_charset_is_loaded_before_it_is_met() -> None:
    code = "import sys, netpulse.rules.bodies; print('encodings.gb18030' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def test_json_in_another_charset() -> None:
    reading = answer(200, '{"a":"ü"}'.encode("latin-1"), charset="latin-1")

    assert judge(http(json_path="$.a", json_value="ü"), reading, now=NOW) == UP


def test_the_status_is_named_before_the_body() -> None:
    verdict = judge(http(body_match="ok"), answer(500), now=NOW)

    assert verdict == down(Failure.STATUS, "status 500, expected 200-299")


def test_a_number_too_large_to_print() -> None:
    spec = http(json_path="$.a", json_value=1)

    verdict = judge(
        spec, answer(200, b'{"a": [' + b"0," * 300 + b"18446744073709551616]}"), now=NOW
    )

    assert verdict.message is not None
    assert verdict.message.startswith("$.a is [0,0,0")
    assert len(verdict.message) < 200


# ------------------------------------------------------------------ redirects


def test_an_https_monitor_is_down_when_sent_to_http() -> None:
    reading = answer(200, final_url="http://u:p@shop.example/login?token=x")

    assert judge(https(), reading, now=NOW) == down(
        Failure.REDIRECT,
        "redirected to http://shop.example: an https monitor must stay on https",
        "to_http",
    )
    assert judge(http(target="https://shop.example/"), reading, now=NOW) == UP
    assert judge(https(), answer(200, final_url="https://shop.example/x"), now=NOW) == UP
    assert judge(https(), answer(200, final_url=None), now=NOW) == UP


# ------------------------------------------------------------------ degraded


@pytest.mark.parametrize(
    ("limit", "took", "message"),
    [
        (800, 912.0, "answered in 912 ms, more than 800 ms"),
        (800, 12_340.0, "answered in 12340 ms, more than 800 ms"),
        (800, 800.0, None),
        (80, 80.3, "answered in 80.3 ms, more than 80 ms"),
        (80, 80.6, "answered in 81 ms, more than 80 ms"),
        (None, 9_000.0, None),
        (800, None, None),
    ],
)
def test_slow_is_degraded(limit: int | None, took: float | None, message: str | None) -> None:
    expected = UP if message is None else degraded(message, "slow")

    reading = answer(total_ms=took)
    assert judge(http(degraded_after_ms=limit), reading, now=NOW) == expected
    reading = Reading(timings=Timings(connect_ms=1.0, total_ms=took), address="192.0.2.7")
    assert judge(tcp(degraded_after_ms=limit), reading, now=NOW) == expected


def test_slow_and_wrong_is_down() -> None:
    verdict = judge(http(degraded_after_ms=10), answer(503), now=NOW)

    assert verdict.result is Result.DOWN


def certificate(left: int) -> Certificate:
    return Certificate(
        subject="CN=shop.example",
        issuer="CN=CA",
        not_before=0,
        not_after=NOW + left,
        fingerprint="00",
    )


@pytest.mark.parametrize(
    ("left", "message"),
    [
        (30 * DAY, None),
        (30 * DAY - 1, "certificate for shop.example expires in 29 days (limit 30)"),
        (6 * DAY + HOUR, "certificate for shop.example expires in 6 days (limit 30)"),
        (DAY, "certificate for shop.example expires in 1 day (limit 30)"),
        (HOUR, "certificate for shop.example expires in less than a day (limit 30)"),
    ],
)
def test_a_certificate_near_its_end_is_degraded(left: int, message: str | None) -> None:
    reading = answer(certificate=certificate(left), final_url="https://shop.example:8443/x")

    verdict = judge(http(alert_days_before_expiry=30), reading, now=NOW)

    assert verdict == (UP if message is None else degraded(message, "certificate_expiring"))
    assert judge(http(), reading, now=NOW) == UP


def test_an_expired_certificate_that_is_not_verified() -> None:
    reading = answer(certificate=certificate(-1), final_url=None)
    spec = http(target="https://shop.example", verify_tls=False, alert_days_before_expiry=30)

    assert judge(spec, reading, now=NOW) == degraded(
        "certificate for shop.example has expired", "certificate_expired"
    )


def test_two_remarks_are_both_made() -> None:
    reading = answer(certificate=certificate(DAY), final_url="https://shop.example/")
    spec = http(alert_days_before_expiry=30, degraded_after_ms=10)

    assert judge(spec, reading, now=NOW) == degraded(
        "answered in 50 ms, more than 10 ms; certificate for shop.example expires in 1 day (limit 30)",
        "slow",
    )


# ------------------------------------------------------------------ our own lateness


@pytest.mark.parametrize(
    ("timeout", "lag", "judged"),
    [
        (10, 1_000, True),
        (10, 1_000.1, False),
        (10, 1_400, False),
        (2, 500, True),
        (2, 501, False),
        (1, 251, False),
        (86_400, 1_001, False),
    ],
)
def test_own_lateness_makes_a_failure_inconclusive(timeout: int, lag: float, judged: bool) -> None:
    spec = http(timeout_seconds=timeout)
    refused = Reading(failure=Failure.REFUSED, error="connection refused by 192.0.2.7:443")

    for reading in (refused, answer(503)):
        # Whether the whole loop was late, or this check waited for its turn among others.
        waited = replace(reading, own_ms=lag)
        for verdict in (
            judge(spec, reading, own_lag_ms=lag, now=NOW),
            judge(spec, waited, now=NOW),
        ):
            if judged:
                assert verdict.result is Result.DOWN
            else:
                assert (verdict.result, verdict.failure) == (Result.INCONCLUSIVE, Failure.OWN_LAG)
    assert judge(spec, answer(), own_lag_ms=lag, now=NOW) == UP


def test_the_words_for_own_lateness() -> None:
    verdict = judge(http(), answer(503), own_lag_ms=1_400, now=NOW)

    assert verdict.message == "our own process was late by 1.4 s: not judged"


def test_own_lateness_does_not_make_a_target_slow() -> None:
    verdict = judge(http(degraded_after_ms=10), answer(), own_lag_ms=2_000, now=NOW)

    assert verdict.failure is Failure.OWN_LAG


# ------------------------------------------------------------------ invert

INVERTED = down(Failure.MISMATCH, "it answered, but must not: invert is set", "inverted")


def test_inverted_up_is_down_and_down_is_up() -> None:
    refused = Reading(failure=Failure.REFUSED, error="connection refused by 192.0.2.7:443")

    assert judge(http(invert=True), refused, now=NOW) == UP
    assert judge(http(invert=True), answer(503), now=NOW) == UP
    assert judge(http(invert=True), answer(), now=NOW) == INVERTED
    assert judge(tcp(invert=True), connected(), now=NOW) == INVERTED
    # It did answer, however slowly.
    assert judge(http(invert=True, degraded_after_ms=10), answer(), now=NOW) == INVERTED


def test_inverted_but_not_judged() -> None:
    late = Reading(failure=Failure.TIMEOUT, error="no answer within 10 s")
    verdict = judge(http(invert=True), late, own_lag_ms=5_000, now=NOW)
    assert verdict.failure is Failure.OWN_LAG

    blocked = Reading(failure=Failure.BLOCKED, error="169.254.169.254 is always blocked")
    verdict = judge(http(invert=True), blocked, now=NOW)
    assert verdict == down(Failure.BLOCKED, "169.254.169.254 is always blocked")


# ------------------------------------------------------------------ tcp


@pytest.mark.parametrize(
    ("expect", "reading", "message"),
    [
        (None, connected(), None),
        ("220", connected(b"220 ready\r\n"), None),
        ("220", connected(b"421 busy\r\n"), 'answered "421 busy\\r\\n", expected "220"'),
        ("220", connected(b""), 'answered nothing, expected "220"'),
        ("é", connected("caf\u00e9".encode()), None),
        ("220", connected(b"x" * 300), f'answered "{"x" * 99}…, expected "220"'),
        ("220", connected(b"\xff"), 'answered "\ufffd", expected "220"'),
        (
            "220",
            connected(b"x" * 65_536, body_complete=False),
            'answer does not contain "220" in the first 64 KiB',
        ),
    ],
)
def test_what_a_tcp_service_answers(
    expect: str | None, reading: Reading, message: str | None
) -> None:
    verdict = judge(tcp(expect=expect), reading, now=NOW)

    assert verdict == (UP if message is None else down(Failure.MISMATCH, message))


# ------------------------------------------------------------------ cost


def test_what_belongs_in_a_thread() -> None:
    large = b"x" * LONGEST

    assert not is_heavy(http(), answer(200, large))
    assert not is_heavy(http(body_match="ok"), answer(200, large))
    assert not is_heavy(tcp(expect="ok"), connected(large[:65_536]))
    assert not is_heavy(http(json_path="$.a"), answer(200, b"{}"))
    assert not is_heavy(http(body_regex="ok"), answer(200, large[:4_096]))
    assert is_heavy(http(json_path="$.a"), answer(200, large))
    assert is_heavy(http(body_regex="(a|b)*a[ab]{100}c"), answer(200, large))
    assert is_heavy(http(body_match="ok"), answer(200, large, charset="utf-16"))


def test_every_message_is_short_enough_to_store() -> None:
    spec = http(json_path="$[" + "'" + "k" * 3_900 + "'" + "]", json_value="x" * 10_000)
    verdict = judge(spec, answer(200, msgspec.json.encode({"k" * 3_900: "y" * 10_000})), now=NOW)

    assert verdict.message is not None
    assert len(verdict.message) < 400
