"""Sending what was rendered of a status page: entity tags, freshness, and who may keep it."""

from __future__ import annotations

from collections.abc import Mapping

from litestar import Response

from netpulse.web.call import Call
from netpulse.web.packing import takes_gzip
from netpulse.web.status.shelf import Rendered, Shown

SECONDS = 5
"""How long a browser or proxy may show an answer without asking again."""
ANYWHERE = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
"""What everybody may read, a page of another site may read too."""
SVG = "image/svg+xml"
PICTURE = {"Content-Security-Policy": "default-src 'none'; style-src 'none'; sandbox"}
"""What is opened by itself shows what it draws, and can do nothing."""


def answer(
    call: Call, shown: Shown, made: Rendered, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """Return `made` as the answer about a page, or 304 to whoever has it already (RFC 9110, 13).

    `headers` are those of a page that everybody may read; one with a password goes without.
    """
    is_private = shown.page.password_hash is not None
    # Feeds, badges and style sheets say the same to everybody, and so does a page of one language.
    is_spoken = made.media_type == "text/html" and shown.page.language is None
    spoken = ("Accept-Language",) if is_spoken else ()
    found = {
        "Cache-Control": f"{'private' if is_private else 'public'}, max-age={SECONDS}",
        "ETag": made.tag,
        "Vary": ", ".join(("Accept-Encoding", *(["Cookie"] if is_private else []), *spoken)),
    }
    if not is_private:
        found |= headers or {}
    if is_private or not shown.page.is_indexed:
        found["X-Robots-Tag"] = "noindex"
    return send(call, made, found)


def send(call: Call, made: Rendered, headers: dict[str, str]) -> Response[bytes]:
    """Return `made` with these headers, packed for whoever takes that, or 304."""
    asked = call.request.headers
    if _has(asked.get("if-none-match", ""), made.tag):
        return Response(b"", status_code=304, media_type=made.media_type, headers=headers)
    body = made.body
    if made.packed is not None and takes_gzip(asked.get("accept-encoding", "")):
        body = made.packed
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type=made.media_type, headers=headers)


def _has(given: str, tag: str) -> bool:
    """Tell whether If-None-Match names the tag, compared weakly (RFC 9110, 8.8.3.2)."""
    if not given:
        return False
    plain = tag.removeprefix("W/")
    return any(one.strip().removeprefix("W/") in {plain, "*"} for one in given[:2_000].split(","))
