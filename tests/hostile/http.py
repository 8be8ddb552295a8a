"""What a server may answer, byte by byte."""

from __future__ import annotations

import gzip
import zlib

import brotli

from tests.hostile.rows import Chapter, Row, http
from tests.servers import answer

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = b"Content-Length: 5\r\n\r\nhello"
PACKED = gzip.compress(b"hello" * 100)
BARE = zlib.compressobj(wbits=-15)
BARE_DEFLATE = BARE.compress(b"hello" * 100) + BARE.flush()


def encoded(coding: str, body: bytes) -> bytes:
    return answer(200, {"Content-Encoding": coding}, body)


ODD: list[tuple[str, bytes, str]] = [
    ("plain", OK + HELLO, "up"),
    ("no reason phrase", b"HTTP/1.1 200\r\n" + HELLO, "up"),
    ("reason glued to the status", b"HTTP/1.1 200OK\r\n" + HELLO, "up"),
    ("HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\nhello", "up"),
    ("HTTP/2 in words only", b"HTTP/2 200 OK\r\n" + HELLO, "up"),
    ("lower-case http", b"http/1.1 200 OK\r\n" + HELLO, "up"),
    ("line feeds only", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "up"),
    ("header without a colon", OK + b"nonsense\r\n" + HELLO, "up"),
    ("space in a header's name", OK + b"X Y: 1\r\n" + HELLO, "up"),
    ("space before the colon", OK + b"X : 1\r\n" + HELLO, "up"),
    ("no name before the colon", OK + b": 1\r\n" + HELLO, "up"),
    ("folded header", OK + b"X: 1\r\n  2\r\n" + HELLO, "up"),
    ("bytes beyond ASCII", OK + b"X\xff: \xfe\x01\r\n" + HELLO, "up"),
    ("9 KB header line", OK + b"X: " + b"a" * 9_000 + b"\r\n" + HELLO, "up"),
    ("90 KB header line", OK + b"X: " + b"a" * 90_000 + b"\r\n" + HELLO, "up"),
    ("200 headers", OK + b"".join(b"X%d: 1\r\n" % n for n in range(200)) + HELLO, "up"),
    ("equal Content-Lengths", OK + b"Content-Length: 5\r\n" + HELLO, "up"),
    ("Content-Length as a list", OK + b"Content-Length: 5, 5\r\n\r\nhello", "up"),
    ("Content-Length beyond measure", OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nx", "up"),
    ("bytes after the body", OK + HELLO + b"HTTP/1.1 500 No\r\n\r\n", "up"),
    ("no length, until close", OK + b"\r\nhello", "up"),
    ("204 with a body", b"HTTP/1.1 204 No Content\r\n" + HELLO, "up"),
    ("100 before the answer", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + HELLO, "up"),
    ("103 before the answer", b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK + HELLO, "up"),
    ("chunks", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", "up"),
    ("chunk extension", CHUNKED + b"5;a=b\r\nhello\r\n0\r\n\r\n", "up"),
    ("spaces behind a chunk size", CHUNKED + b"5  \r\nhello\r\n0\r\n\r\n", "up"),
    ("chunks with line feeds", CHUNKED + b"5\nhello\n0\n\n", "up"),
    ("chunks with a trailer", CHUNKED + b"5\r\nhello\r\n0\r\nX: 1\r\n\r\n", "up"),
    ("chunks in HTTP/1.0", CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n", "up"),
    ("chunks and a length", OK + b"Content-Length: 9\r\n" + CHUNKED[17:] + b"0\r\n\r\n", "up"),
    ("unknown transfer coding", OK + b"Transfer-Encoding: odd\r\n\r\nhello", "up"),
    ("gzip", encoded("gzip", PACKED), "up"),
    ("x-gzip", encoded("x-gzip", PACKED), "up"),
    ("gzip in two members", encoded("gzip", PACKED * 2), "up"),
    ("gzip with garbage behind", encoded("gzip", PACKED + b"garbage"), "up"),
    ("gzip that lacks its end", encoded("gzip", PACKED[:-6]), "up"),
    ("gzip of nothing", encoded("gzip", b""), "up"),
    ("deflate", encoded("deflate", zlib.compress(b"hello")), "up"),
    ("bare deflate", encoded("deflate", BARE_DEFLATE), "up"),
    ("br", encoded("br", brotli.compress(b"hello")), "up"),
    ("gzip in gzip", encoded("gzip, gzip", gzip.compress(PACKED)), "up"),
    ("8 KB reason phrase", b"HTTP/1.1 200 " + b"a" * 8_000 + b"\r\n" + HELLO, "up"),
    ("length 0 and a body", OK + b"Content-Length: 0\r\n\r\nhello", "up"),
    ("length with a plus", OK + b"Content-Length: +5\r\n\r\nhello", "up"),
    ("identity transfer coding", OK + b"Transfer-Encoding: identity\r\n\r\nhello", "up"),
    ("5,000 cookies", OK + b"Set-Cookie: a=b\r\n" * 5_000 + HELLO, "down protocol"),
    (
        "100 KB chunk extension",
        CHUNKED + b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
        "down protocol",
    ),
    ("unknown content coding", encoded("utf-8", b"hello"), "up"),
]

STATUSES: list[tuple[str, bytes, str]] = [
    ("500", answer(500), "down status"),
    ("404", answer(404), "down status"),
    ("304", answer(304), "down status"),
    ("999", answer(999), "down status"),
    ("101", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "down status"),
    ("redirect without Location", answer(302), "down status"),
    ("redirect with an empty Location", answer(302, {"Location": ""}), "down status"),
    ("300 with a Location", answer(300, {"Location": "/x"}), "down status"),
]

NOT_HTTP: list[tuple[str, bytes, str]] = [
    ("HTTP/0.9: a page and no head", b"<html>hello</html>", "down protocol"),
    ("ICY, as radio streams say", b"ICY 200 OK\r\n" + HELLO, "down protocol"),
    ("a TLS alert on a plain port", b"\x15\x03\x01\x00\x02\x02\x46", "down protocol"),
    ("carriage returns only", b"HTTP/1.1 200 OK\rContent-Length: 5\r\rhello", "down closed"),
    ("1 MB status line", b"HTTP/1.1 200 " + b"a" * 1_000_000 + b"\r\n" + HELLO, "down protocol"),
    ("SMTP", b"220 mail.example ESMTP\r\n", "down protocol"),
    ("random bytes", bytes(range(256)) * 4, "down protocol"),
    ("not HTTP", b"hello world, who are you?\r\n", "down protocol"),
    ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", "down protocol"),
    ("blank line first", b"\r\n" + OK + HELLO, "down protocol"),
    ("status 99", b"HTTP/1.1 99 No\r\n\r\n", "down protocol"),
    ("status 000", b"HTTP/1.1 000 No\r\n\r\n", "down protocol"),
    ("status 2000", b"HTTP/1.1 2000 No\r\n\r\n", "down protocol"),
    ("status in letters", b"HTTP/1.1 abc No\r\n\r\n", "down protocol"),
    ("NUL in a header", OK + b"X: a\0b\r\n" + HELLO, "down protocol"),
    ("NUL in the status line", b"HTTP/1.1 200 O\0K\r\n" + HELLO, "down protocol"),
    ("1 MB header", OK + b"X: " + b"a" * 1_000_000 + b"\r\n" + HELLO, "down protocol"),
    ("headers without end", OK + b"X: 1\r\n" * 100_000, "down protocol"),
    ("8,000 headers", OK + b"X: 1\r\n" * 8_000 + b"\r\n", "down protocol"),
    ("two lengths", OK + b"Content-Length: 4\r\n" + HELLO, "down protocol"),
    ("negative length", OK + b"Content-Length: -5\r\n\r\nhello", "down protocol"),
    ("length in letters", OK + b"Content-Length: five\r\n\r\nhello", "down protocol"),
    ("bad chunk size", CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n", "down protocol"),
    ("negative chunk size", CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", "down protocol"),
    ("chunk size beyond measure", CHUNKED + b"f" * 17 + b"\r\n", "down protocol"),
    ("empty chunk size", CHUNKED + b"\r\nhello\r\n0\r\n\r\n", "down protocol"),
    ("chunk longer than it says", CHUNKED + b"3\r\nhello\r\n0\r\n\r\n", "down protocol"),
    ("no chunks at all", CHUNKED + b"hello, this is no chunk", "down protocol"),
    ("gzip that is none", encoded("gzip", b"hello"), "down protocol"),
    ("br that is none", encoded("br", b"\xff" * 20), "down protocol"),
    ("six layers of gzip", encoded("gzip," * 5 + "gzip", b"x"), "down protocol"),
]

CUT: list[tuple[str, bytes, str]] = [
    ("nothing at all", b"", "down closed"),
    ("half a status line", b"HTTP/1.1 20", "down closed"),
    ("half the headers", OK + b"X: 1\r\nY", "down closed"),
    ("only a 100", b"HTTP/1.1 100 Continue\r\n\r\n", "down closed"),
    ("short body", OK + b"Content-Length: 50\r\n\r\nhello", "down closed"),
    ("cut chunk", CHUNKED + b"50\r\nhello", "down closed"),
    ("no last chunk", CHUNKED + b"5\r\nhello\r\n", "down closed"),
    ("half an interim answer", b"HTTP/1.1 100 Cont", "down closed"),
    ("cut inside a chunk's size", CHUNKED + b"5\r\nhello\r\n1", "down closed"),
    ("cut last chunk", CHUNKED + b"5\r\nhello\r\n0\r\n", "down closed"),
]

# Where others decide otherwise, and why.
_GO = "is down: Go's parser takes nothing but the letter of RFC 9112 here; browsers and curl do"
_UNPACKED = "is up: it does not decode the body unless it has to look into it"

CURL: dict[str, str] = {
    "header without a colon": "is down (exit 8): browsers skip such a line",
    "unknown transfer coding": "is down (exit 61) because it was asked to decode: browsers show it",
    "unknown content coding": "is down (exit 61) because it was asked to decode: browsers show it",
    "gzip in two members": "is down (exit 23): it decodes the first member only; RFC 1952 allows it",
    "gzip with garbage behind": "is down (exit 23): the body was whole before it; browsers show it",
    "5,000 cookies": "is up: its limit is 300 KB of headers, ours 256 KiB and 500 of them",
    "8,000 headers": "is up: its limit is 300 KB of headers, ours 256 KiB and 500 of them",
    "100 KB chunk extension": "is up: it skips extensions of any length",
    "two lengths": "is up: it believes the last one; RFC 9112, 6.3 calls that unrecoverable",
    "half the headers": "is up: it takes an end of the connection for the end of the headers",
}
BLACKBOX: dict[str, str] = {
    "reason glued to the status": _GO,
    "HTTP/2 in words only": _GO,
    "lower-case http": _GO,
    "header without a colon": _GO,
    "Content-Length as a list": _GO,
    "Content-Length beyond measure": _GO,
    "length with a plus": _GO,
    "chunks with line feeds": _GO,
    "unknown transfer coding": _GO,
    "identity transfer coding": _GO,
    "5,000 cookies": "is up: its limit is 10 MB of headers",
    "8,000 headers": "is up: its limit is 10 MB of headers",
    "1 MB header": "is up: its limit is 10 MB of headers",
    "1 MB status line": "is up: its limit is 10 MB of headers",
    "NUL in a header": "is up: Go lets it through; RFC 9110, 5.5 and curl do not",
    "NUL in the status line": "is up: Go lets it through; curl does not",
    "gzip that is none": _UNPACKED,
    "br that is none": _UNPACKED,
    "six layers of gzip": _UNPACKED,
}


def _rows(table: list[tuple[str, bytes, str]]) -> tuple[Row, ...]:
    return tuple(
        Row(
            name,
            http(sent),
            said,
            DETAILS.get(name),
            curl=CURL.get(name, ""),
            blackbox=BLACKBOX.get(name, ""),
        )
        for name, sent, said in table
    )


DETAILS: dict[str, str] = {
    "gzip that is none": "content_encoding",
    "br that is none": "content_encoding",
    "six layers of gzip": "content_encoding",
    "nothing at all": "first_byte",
    **dict.fromkeys(("half a status line", "half the headers", "only a 100"), "headers"),
    **dict.fromkeys(("half an interim answer", "carriage returns only"), "headers"),
    **dict.fromkeys(("short body", "cut chunk", "no last chunk", "cut last chunk"), "body"),
    "cut inside a chunk's size": "body",
}

CHAPTERS = (
    Chapter("Odd, and up", "What curl and browsers take is up.", _rows(ODD)),
    Chapter("Statuses", "A status is judged as it is.", _rows(STATUSES)),
    Chapter("No HTTP", "What cannot be read as an answer is `protocol`.", _rows(NOT_HTTP)),
    Chapter("Cut short", "An answer that ends before it says it would is `closed`.", _rows(CUT)),
)
