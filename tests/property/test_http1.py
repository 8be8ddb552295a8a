"""Foreign bytes: whatever comes, the parsers answer with a value or with their own errors."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netpulse.probes import http1
from netpulse.probes.decoding import STEP, BadEncoding, decoded, layers
from netpulse.probes.http1 import Chunked, Cut, Head, Malformed, framing, parse_head
from netpulse.probes.request import BadRedirect, destination
from netpulse.rules.targets import url

NOISE = st.binary(max_size=400)
LIKELY = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 204\n",
            b"Content-Length: 5\r\n",
            b"Content-Length: x\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Encoding: gzip\r\n",
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b":",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"ffff",
            b"\0",
            b"\xff",
        ]
    )
    | st.binary(max_size=6),
    max_size=12,
).map(b"".join)


def read_all(answer: bytes, cuts: list[int]) -> object:
    """Read an answer as the probe does, in pieces that end at `cuts`."""
    places = sorted({cut % (len(answer) + 1) for cut in cuts} | {len(answer)})
    block = bytearray()
    body = b""
    found = None
    begin = 0
    searched = 0
    try:
        for place in places:
            piece, begin = answer[begin:place], place
            if found is None:
                block += piece
                end = http1.head_end(block, searched)
                if end < 0:
                    if http1.looks_wrong(block):
                        return "wrong"
                    searched = len(block)
                    continue
                head = parse_head(bytes(block[:end]))
                found = framing(head, "GET")
                piece = bytes(block[end:])
            body += found.feed(piece)
            if found.done:
                return said(head), body
        if found is None:
            return "cut"
        found.end()
    except Malformed:
        return "malformed"
    except Cut:
        return "cut body"
    return said(head), body


def said(head: Head) -> tuple[object, ...]:
    """Return what a head says."""
    return head.version, head.status, head.headers


@settings(max_examples=400)
@given(LIKELY | NOISE, st.lists(st.integers(0, 500), max_size=8))
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", [5, 20])
def test_an_answer_reads_the_same_however_it_is_cut(answer: bytes, cuts: list[int]) -> None:
    whole = read_all(answer, [])
    pieces = read_all(answer, cuts)
    # What is wrong may show earlier or later; whether it is right may not depend on the cuts.
    if isinstance(whole, tuple) or isinstance(pieces, tuple):
        assert whole == pieces


@settings(max_examples=200)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=10), st.integers(1, 50), st.data())
def test_chunks_come_back_whole(parts: list[bytes], step: int, data: st.DataObject) -> None:
    coded = b""
    for part in parts:
        ending = data.draw(st.sampled_from([b"\r\n", b"\n"]))
        extension = data.draw(st.sampled_from([b"", b";a=b", b"  ", b"; x"]))
        coded += b"%x" % len(part) + extension + ending + part + ending
    coded += data.draw(st.sampled_from([b"0\r\n\r\n", b"000\n\n", b"0;x\r\nTrailer: 1\r\n\r\n"]))
    chunked = Chunked()
    body = b"".join(
        chunked.feed(coded[begin : begin + step]) for begin in range(0, len(coded), step)
    )
    assert body == b"".join(parts)
    assert chunked.done
    # Every true beginning of it is incomplete, and never malformed.
    short = Chunked()
    short.feed(coded[: data.draw(st.integers(0, len(coded) - 1))])
    assert not short.done


@settings(max_examples=200)
@given(
    st.binary(max_size=5_000),
    st.lists(st.sampled_from(["gzip", "deflate", "br", "odd", "identity"]), max_size=4),
    st.integers(1, 700),
)
def test_encodings_are_undone_in_any_pieces(body: bytes, codings: list[str], step: int) -> None:
    packed = body
    for coding in codings:
        if coding == "gzip":
            packed = gzip.compress(packed)
        elif coding == "deflate":
            packed = zlib.compress(packed)
        elif coding == "br":
            packed = brotli.compress(packed)
    stack = layers(", ".join(codings))
    out = b""
    for begin in range(0, len(packed), step):
        out += b"".join(decoded(packed[begin : begin + step], stack))
    assert out == body


@given(st.lists(st.binary(max_size=60), min_size=2, max_size=4), st.integers(1, 90))
def test_members_of_gzip_end_wherever_pieces_do(parts: list[bytes], step: int) -> None:
    members = [gzip.compress(part) for part in parts]
    packed = b"".join(members)
    for pieces in (members, [packed[at : at + step] for at in range(0, len(packed), step)]):
        stack = layers("gzip")
        assert b"".join(b"".join(decoded(piece, stack)) for piece in pieces) == b"".join(parts)


@settings(max_examples=300)
@given(
    st.binary(max_size=2_000),
    st.sampled_from(["gzip", "deflate", "br", "gzip, br", "deflate, gzip"]),
    st.booleans(),
)
def test_rubbish_is_decoded_or_refused(noise: bytes, codings: str, begun: bool) -> None:
    if begun:
        packed = {"g": gzip.compress, "d": zlib.compress, "b": brotli.compress}[
            codings[-1:] and (codings.rpartition(" ")[2][0])
        ](b"hello " * 1000)
        noise = packed[: len(packed) // 2] + noise
    try:
        for piece in decoded(noise, layers(codings)):
            assert len(piece) <= STEP
    except BadEncoding:
        return


@settings(max_examples=500)
@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(
            [
                *"/\\?#@:[]% \tä",
                "http:",
                "https:",
                "//",
                "..",
                "%zz",
                "shop.example",
                "127.0.0.1",
                "::1",
                "99999",
            ]
        ),
        max_size=9,
    ).map("".join)
)
def test_a_location_leads_somewhere_or_is_refused(location: str) -> None:
    base = url("https://shop.example:8443/a/b?c=d")
    try:
        target = destination(base, location)
    except BadRedirect:
        return
    assert target.scheme in {"http", "https"}
    assert target.raw_host
    assert target.fragment == ""
    line = target.raw_path_qs
    # It goes into a request line: nothing in it may end the line or the path.
    assert line.isascii()
    assert line.isprintable()
    assert " " not in line


@pytest.mark.parametrize("location", ["//[]@", "http://[x]@/a", "//[u]:p@"])
def test_brackets_before_an_empty_host_lead_nowhere(location: str) -> None:
    with pytest.raises(BadRedirect, match="it has no host"):
        destination(url("https://shop.example/"), location)


def test_locations_as_browsers_read_them() -> None:
    base = url("https://shop.example:8443/a/b?c=d")
    for location, expected in {
        "x": "https://shop.example:8443/a/x",
        "/x": "https://shop.example:8443/x",
        "../x": "https://shop.example:8443/x",
        "?x=1": "https://shop.example:8443/a/b?x=1",
        "0://0": "https://shop.example:8443/a/0://0",
        ":8080/x": "https://shop.example:8443/a/:8080/x",
        "//other.example/x": "https://other.example/x",
        "///other.example/x": "https://other.example/x",
        "http:///other.example/x": "http://other.example/x",
        "\\\\other.example\\x": "https://other.example/x",
        "HTTP://OTHER.example/X": "http://other.example/X",
        "/a b#c": "https://shop.example:8443/a%20b",
        "/k\u00c3\u00a4se": "https://shop.example:8443/k%C3%A4se",
        "/a%2Fb%41?x=%7E&y=a+b": "https://shop.example:8443/a%2Fb%41?x=%7E&y=a+b",
        "http://other.example": "http://other.example/",
        "http://other.example?x=/": "http://other.example/?x=/",
    }.items():
        target = destination(base, location)
        shown = f"{target.scheme}://{target.raw_authority.lower()}{target.raw_path_qs or '/'}"
        assert shown == expected, location
