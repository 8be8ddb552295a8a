"""Style sheets, scripts and pictures; and that the templates need nothing inline."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import httpx
import pytest

from netpulse.web import pages
from netpulse.web.pages import static
from tests.api.test_pages import text_of
from tests.conftest import Stage


class TestFiles:
    async def test_each_as_it_is(self, house: Stage) -> None:
        client = house.client()
        assert static.assets()
        for path, asset in static.assets().items():
            kept = await client.get(static.url(path))
            assert kept.status_code == 200
            assert kept.content == asset.body == (static._ROOT / path).read_bytes()
            assert kept.headers["content-type"].startswith(asset.media_type)
            assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert kept.headers["x-content-type-options"] == "nosniff"
            plain = await client.get(f"/static/{path}")
            assert plain.content == asset.body
            assert plain.headers["cache-control"] == "no-cache"
            old = await client.get(f"/static/~000000000000/{path}")
            assert (old.content, old.headers["cache-control"]) == (asset.body, "no-cache")
            again = await client.get(static.url(path), headers={"If-None-Match": kept.headers["etag"]})  # fmt: skip
            assert (again.status_code, again.content) == (304, b"")

    async def test_packed_where_that_is_understood(self, house: Stage) -> None:
        client = house.client()
        path = static.url("vendor/tabler/tabler.min.css")
        asset = static.assets()["vendor/tabler/tabler.min.css"]
        for accepted, encoding in (("gzip", "gzip"), ("br", None), ("identity", None)):
            async with client.stream("GET", path, headers={"Accept-Encoding": accepted}) as found:
                raw = b"".join([chunk async for chunk in found.aiter_raw()])
                assert found.headers.get("content-encoding") == encoding
                assert found.headers["vary"] == "Accept-Encoding"
            assert (gzip.decompress(raw) if encoding else raw) == asset.body
        assert asset.packed
        assert len(asset.kept) < len(asset.body) / 4

    async def test_pages_are_packed_and_their_size_tells_nothing(self, house: Stage) -> None:
        client = house.client()

        async def sent(method: str, accepted: str) -> tuple[bytes, str | None]:
            headers = {"Accept-Encoding": accepted}
            async with client.stream(method, "/login", headers=headers) as found:
                assert method == "POST" or "Accept-Encoding" in found.headers["vary"]
                raw = b"".join([chunk async for chunk in found.aiter_raw()])
                return raw, found.headers.get("content-encoding")

        plain, encoding = await sent("GET", "identity")
        assert encoding is None
        sizes = set()
        for _ in range(12):
            raw, encoding = await sent("GET", "br, gzip;q=0.8")
            assert encoding == "gzip"
            assert len(gzip.decompress(raw)) == len(plain)
            sizes.add(len(raw))
        assert max(sizes) < len(plain) / 2
        # One page, many sizes.
        assert len(sizes) > 3
        assert (await sent("GET", "gzip;q=0"))[1] is None
        # What answers a form may be shown only once.
        assert (await sent("POST", "gzip"))[1] is None

    @pytest.mark.parametrize(
        "path",
        [
            "../app.py",
            "..%2fapp.py",
            "%2e%2e/%2e%2e/config.py",
            "....//app.css",
            "vendor/../../house.py",
            "/etc/passwd",
            "~000000000000/../../house.py",
            "app.css%00.js",
            "vendor/tabler/LICENSE",
            "vendor/README.md",
            "vendor",
            "",
            "APP.CSS",
        ],
    )
    async def test_nothing_else(self, house: Stage, path: str) -> None:
        client = house.client()
        found = await client.get(httpx.URL(f"http://netpulse.example/static/{path}"))
        text_of(found, 404)

    def test_pages_name_only_what_is_there(self) -> None:
        with pytest.raises(KeyError):
            static.url("nothing.css")

    def test_templates_break_no_policy(self) -> None:
        root = Path(str(pages.__file__)).parent.parent / "templates"
        for template in root.rglob("*.html"):
            source = template.read_text("utf-8")
            assert not re.search(r"<script(?![^>]*\bsrc=)", source), template
            assert not re.search(r"<[^>{]*\s(style|on[a-z]+)=", source), template
            assert "| safe" not in source, template
            # In Jinja `x.update` is the method of a dict, which is never false.
            shadowed = r"(?<!m)\.(items|keys|values|pop|update|copy|clear|setdefault)\b(?!\()"
            assert not re.search(r"\{[{%][^}]*" + shadowed, source), template
