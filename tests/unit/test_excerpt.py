"""The first bytes of an answer: readable, bounded, and nothing in them that acts."""

from __future__ import annotations

import base64
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpulse.model.check import Failure, Reading
from netpulse.model.monitor import HttpSpec, SslSpec
from netpulse.rules.excerpt import BLOT, LONGEST, Excerpt, excerpt

PLAIN = {"type": "http", "name": "Shop", "target": "http://shop.example/"}


def spec(**more: Any) -> HttpSpec:
    return msgspec.convert(PLAIN | more, HttpSpec)


def of(body: bytes, charset: str | None = None, **more: Any) -> Excerpt:
    found = excerpt(spec(**more), Reading(status_code=200, body=body, charset=charset))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        (b"fine", None, "fine"),
        (b"", None, ""),
        (b"a\r\n\tb\n", None, "a\n\tb\n"),
        (b"\x1b[2J\x07\x00\x7f\r", None, "\\x1b[2J\\x07\\x00\\x7f\\x0d"),
        (
            "a\u202eb\u200bc\u2028d\u00a0e\x85".encode(),
            None,
            "a\\u202eb\\u200bc\\u2028d e\\x85",
        ),
        ("\ufeffgrün ☂ 試験".encode(), None, "grün ☂ 試験"),
        ("grün".encode("latin-1"), "latin-1", "grün"),
        ("grün".encode("latin-1"), None, "gr\ufffdn"),
        ("試験".encode("shift_jis"), "Shift_JIS", "試験"),
        (b"x", "zlib", "x"),
        (b"x", "no-such-charset", "x"),
        (b"<script>alert(1)</script>", None, "<script>alert(1)</script>"),
    ],
)
def test_it_can_be_read(body: bytes, charset: str | None, text: str) -> None:
    found = of(body, charset)
    assert (found.text, found.shown_bytes, found.is_cut) == (text, len(body), False)
    assert found.total_bytes == len(body)


def test_it_says_where_it_is_cut() -> None:
    found = of(b"x" * 10_000)
    assert (len(found.text), found.shown_bytes, found.total_bytes) == (LONGEST, LONGEST, 10_000)
    assert found.is_cut
    # In the middle of a character: nothing is wrong with it.
    found = of("€".encode() * 2_000)
    assert found.text == "€" * (LONGEST // 3)
    endless = Reading(status_code=200, body=b"y" * 2_000, body_complete=False)
    cut = excerpt(spec(), endless, 1024)
    assert cut == Excerpt(text="y" * 1024, shown_bytes=1024, total_bytes=None, is_cut=True)


def test_nothing_where_nothing_answered() -> None:
    assert excerpt(spec(), Reading(failure=Failure.REFUSED, error="refused")) is None
    stuck = Reading(status_code=200, failure=Failure.TIMEOUT, error="no answer")
    assert excerpt(spec(), stuck) is None
    certificate = SslSpec(name="Shop", target="shop.example")
    assert excerpt(certificate, Reading()) is None
    broken = Reading(
        status_code=200, failure=Failure.CLOSED, error="closed", body=b"beg", body_complete=False
    )
    begun = excerpt(spec(), broken)
    assert begun is not None
    assert (begun.text, begun.is_cut) == ("beg", True)


def test_secrets_that_the_target_repeats() -> None:
    secret = "hunter-22-hunter"
    basic = {"type": "basic", "username": "ann", "password": secret}
    pair = base64.b64encode(f"ann:{secret}".encode()).decode()
    found = of(f"you sent {secret}, that is Basic {pair}!".encode(), auth=basic)
    assert found.text == f"you sent {BLOT}, that is Basic {BLOT}!"
    bearer = {"type": "bearer", "token": secret}
    assert of(secret.encode(), auth=bearer).text == BLOT
    headers = {"X-Api-Key": secret, "X-Shop": "north"}
    assert of(f"{secret} north".encode(), headers=headers).text == f"{BLOT} north"
    # The cut goes through it.
    found = of(b"x" * (LONGEST - 10) + secret.encode(), auth=bearer)
    assert found.text == "x" * (LONGEST - 10) + BLOT
    # One of three letters is in half of all words.
    assert of(b"category", auth={"type": "bearer", "token": "cat"}).text == "category"


@given(st.binary(max_size=300), st.sampled_from([None, "utf-8", "utf-16", "utf-32", "gbk", "euc-jp", "iso2022_jp"]))  # fmt: skip
def test_any_bytes(body: bytes, charset: str | None) -> None:
    for limit in (7, 1024):
        reading = Reading(status_code=200, body=body, charset=charset)
        found = excerpt(spec(), reading, limit)
        assert found is not None
        assert found.shown_bytes == min(limit, len(body))
        assert found.is_cut == (len(body) > limit)
        for sign in found.text:
            assert sign in "\n\t" or unicodedata.category(sign)[0] != "C", repr(sign)
            assert sign.isprintable() or sign in "\n\t"
