"""The text of an answer's body, whatever it is encoded in."""

from __future__ import annotations

import codecs
import functools

LONGEST = 1 << 20
"""Bytes of a body that are judged, after its content encoding is undone."""

_KNOWN = frozenset(
    (
        "utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be ascii iso8859-1 iso8859-2 iso8859-3 "
        "iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-9 iso8859-10 iso8859-13 "
        "iso8859-14 iso8859-15 iso8859-16 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 "
        "cp1258 cp866 cp874 cp932 cp949 koi8-r koi8-u mac-roman mac-cyrillic tis-620 gb2312 gbk "
        "gb18030 big5 big5hkscs euc_jp shift_jis iso2022_jp euc_kr johab"
    ).split()
)
"""What servers really send, by Python's own names, so that each is loaded when it is first met: all
of them take a megabyte. Python knows more: some are no text (zlib), some slow (punycode)."""


@functools.lru_cache(maxsize=256)
def _codec(charset: str) -> str | None:
    try:
        name = codecs.lookup(charset.strip().strip("\"'")).name
    except (LookupError, ValueError):
        return None
    return name if name in _KNOWN else None


def codec(charset: str | None) -> str:
    """Return Python's name of the codec that reads a body of that charset."""
    return (None if charset is None else _codec(charset)) or "utf-8"


def is_utf8(charset: str | None) -> bool:
    """Tell whether a body of that charset is read as UTF-8: named so, unnamed, or unknown."""
    return charset is None or _codec(charset) is None


def utf8(body: bytes, charset: str | None) -> bytes:
    """Return the body's text as valid UTF-8, without a byte order mark.

    `charset` is what the answer said; an unknown one, or none, counts as UTF-8. Bytes that are no
    text of their charset become U+FFFD.
    """
    codec = None if charset is None else _codec(charset)
    if codec is not None:
        return body.decode(codec, "replace").removeprefix("\ufeff").encode("utf-8", "replace")
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        body.decode()
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace").encode()
    return body
