"""Style sheets, scripts and pictures, from memory, compressed once.

They are addressed below a name made of all their contents, so that browsers may keep them for ever
and modules find each other by relative addresses; `/static/app.css` without it works too.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path

from litestar import Response
from msgspec import Struct

from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, page
from netpulse.web.errors import of_status

_ROOT = Path(__file__).resolve().parent.parent / "static"

_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
"""What is served; anything else in the directory (licences, notes) is not."""

_FOR_EVER = "public, max-age=31536000, immutable"
_WORTH_PACKING = 1000


class Asset(Struct, frozen=True):
    """One file, ready to be sent."""

    media_type: str
    kept: bytes
    packed: bool
    """`kept` is packed by gzip, as nearly everybody takes it: both would be a megabyte more."""
    tag: str

    @property
    def body(self) -> bytes:
        """The file's own bytes; unpacking the largest takes 2 ms."""
        return gzip.decompress(self.kept) if self.packed else self.kept


@cache
def assets() -> dict[str, Asset]:
    """Return every file by its path below the directory. Read once."""
    found = {}
    for path in sorted(_ROOT.rglob("*")):
        media_type = _TYPES.get(path.suffix)
        if media_type is None or not path.is_file():
            continue
        body = path.read_bytes()
        tag = hashlib.sha256(body).hexdigest()[:16]
        kept = gzip.compress(body, 9, mtime=0) if len(body) > _WORTH_PACKING else body
        if len(kept) >= len(body):
            kept = body
        name = path.relative_to(_ROOT).as_posix()
        found[name] = Asset(media_type, kept, kept is not body, tag)
    return found


@cache
def edition() -> str:
    """Return the name of this set of files: `~` and a digest of all of them."""
    digest = hashlib.sha256()
    for path, asset in assets().items():
        digest.update(f"{path}:{asset.tag}\n".encode())
    return "~" + digest.hexdigest()[:12]


def url(path: str) -> str:
    """Return the address of a file, for a page.

    Raises:
        KeyError: there is no such file.
    """
    if path not in assets():
        raise KeyError(path)
    return f"/static/{edition()}/{path}"


@page("GET", "/static/{path:path}", access=PUBLIC, counts=False)
async def serve(call: Call) -> Response[bytes]:
    """Send a file."""
    path = str(call.request.path_params["path"]).lstrip("/")
    first, _, rest = path.partition("/")
    kept_for_ever = first == edition()
    # Another edition is what a page from before an upgrade asks for: the newest file will do.
    asset = assets().get(rest if first.startswith("~") else path)
    if asset is None:
        raise of_status(404)
    headers = {
        "Cache-Control": _FOR_EVER if kept_for_ever else "no-cache",
        "ETag": f'"{asset.tag}"',
        "Vary": "Accept-Encoding",
    }
    if call.request.headers.get("if-none-match") == headers["ETag"]:
        return Response(b"", status_code=304, headers=headers)
    if asset.packed and "gzip" in call.request.headers.get("accept-encoding", ""):
        body = asset.kept
        headers["Content-Encoding"] = "gzip"
    else:
        body = asset.body
    return Response(body, media_type=asset.media_type, headers=headers)


ROUTES = (serve,)
