"""The first bytes of an answer as people may read them: text only, nothing that acts or hides."""

from __future__ import annotations

import base64
import codecs
import unicodedata
from collections.abc import Iterable

from msgspec import Struct

from netpulse.model.check import Reading
from netpulse.model.monitor import BasicAuth, HttpSpec, MonitorSpec
from netpulse.rules import bodies
from netpulse.rules.write_only import split_secrets

LONGEST = 4096
"""Bytes of a body, decoded from its content encoding, that are ever shown."""
BLOT = "•••"
"""Stands for a secret of the monitor that the target repeats."""
_SHORTEST_SECRET = 4
"""Characters; anything shorter would blot out half of the text."""


class Excerpt(Struct, frozen=True, kw_only=True):
    """The beginning of a body."""

    text: str
    shown_bytes: int
    """Of the body, how many the text stands for."""
    total_bytes: int | None
    """Of the whole body; null where not all of it was read."""
    is_cut: bool
    """True where the body goes on after the text."""


def excerpt(spec: MonitorSpec, reading: Reading, limit: int = LONGEST) -> Excerpt | None:
    """Return the first `limit` bytes of the answer's body as text; None without an answer.

    Bytes that are no text become U+FFFD. Control and other unseen characters become
    their code: \\x1b, \\u202e; line feeds and tabs stay. Secrets of `spec` that the target repeats
    word for word are blotted out.
    """
    body = reading.body
    if not body and (reading.status_code is None or reading.failure is not None):
        return None
    part = body[: min(limit, LONGEST)]
    is_cut = len(part) < len(body) or not reading.body_complete
    text = _blotted(_decoded(part, reading.charset, is_cut=is_cut), _secrets(spec), is_cut=is_cut)
    return Excerpt(
        text=_visible(text),
        shown_bytes=len(part),
        total_bytes=len(body) if reading.body_complete else None,
        is_cut=is_cut,
    )


def _visible(text: str) -> str:
    """Return text without anything unseen but line feeds, tabs and spaces."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_seen(sign) for sign in text.replace("\r\n", "\n"))


def _seen(sign: str) -> str:
    if sign.isprintable() or sign in "\n\t":
        return sign
    # Signs that show nothing, or turn what stands beside them around; and spaces of other widths.
    # Their codes in ASCII: few fonts have the pictures of control characters.
    if unicodedata.category(sign) == "Zs":
        return " "
    code = ord(sign)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _decoded(part: bytes, charset: str | None, *, is_cut: bool) -> str:
    # A character that the cut goes through is left out; it is no mistake of the target's.
    decoder = codecs.getincrementaldecoder(bodies.codec(charset))("replace")
    try:
        text = decoder.decode(part, final=not is_cut)
    except UnicodeError:
        # UTF-16 without a byte order mark, for one.
        text = part.decode("utf-8", "replace")
    return text.removeprefix("\ufeff")


def _secrets(spec: MonitorSpec) -> list[str]:
    """Return the texts that must not come back, the longest first."""
    _, found = split_secrets(spec)
    secrets = set(found.values())
    if isinstance(spec, HttpSpec) and isinstance(spec.auth, BasicAuth):
        pair = f"{spec.auth.username}:{spec.auth.password or ''}"
        secrets.add(base64.b64encode(pair.encode()).decode())
    known = {each for each in secrets if len(each) >= _SHORTEST_SECRET}
    return sorted(known, key=len, reverse=True)


def _blotted(text: str, secrets: Iterable[str], *, is_cut: bool) -> str:
    for secret in secrets:
        text = text.replace(secret, BLOT)
        if not is_cut:
            continue
        # The cut may go through one.
        for size in range(len(secret) - 1, _SHORTEST_SECRET - 1, -1):
            if text.endswith(secret[:size]):
                text = text[:-size] + BLOT
                break
    return text
