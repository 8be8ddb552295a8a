"""Markup in anybody's text stays text: on every page, from every field that takes text.

The same town is built twice, once with a polyglot in every text and once with plain words. Every
page of the one must have exactly the elements and attributes of the other: nothing was opened,
closed or given a handler by what somebody wrote. `tests/browser/test_foreign_text.py` looks at the
same pages with a browser.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from msgspec import inspect
from msgspec.structs import replace

from netpulse.config import Config, Limits
from netpulse.model.check import Check, Failure, Result
from netpulse.model.edge import Edge
from netpulse.model.watch import Flip, Status
from netpulse.storage import edges, monitors
from netpulse.storage.db import Conn
from netpulse.web import routes
from netpulse.web.endpoint import PUBLIC
from tests.asgi import Answer, ask
from tests.cast import Cast
from tests.conftest import Opener, Stage
from tests.makers import SAMPLES, Side
from tests.security.test_csrf import cookie_of
from tests.tenancy import Page, Route, places, routes_of, variants

POLYGLOT = (
    "\"'`><svg/onload=np()><img src=x onerror=np()></textarea></title></script></style></option>"
    '<script>np()</script> onfocus=np() autofocus x="javascript:np()" <!--{{7*7}}{% x %}--> &lt;b'
)
"""Closes what it could stand in: attributes of every quoting, text areas, titles, scripts."""
SHORT = "\"'><script>np()</script>"
"""For fields of a few dozen signs."""
PLAIN = "!words"
ROUTES = routes_of(routes.ROUTES)
PAGES = [
    route
    for route in ROUTES
    if route.method == "GET" and not route.path.startswith(("/v1/", "/ping", "/api/", "/static"))
]
UNLIMITED = Config(limits=Limits(0, 0, 0, 0))


class Town(Side):
    """An organization in which everything is called `text`."""

    def __init__(self, stage: Stage, text: str, only: set[str] | None = None) -> None:
        """Fill the fields in `only`; None: all that take the text."""
        super().__init__(stage, stage.cast.alice, "acme")
        self.text = text
        self.only = only
        self.cookie: dict[str, str] = {}
        self.taken: set[str] = set()
        """The fields that take any text."""

    def name(self, what: str) -> str:
        """Call everything the same."""
        del what
        return self.text

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        """Make a request, each at a moment of its own: what was made first is first in both."""
        self.stage.house.clock.advance(0.002)  # type: ignore[attr-defined]  # a FakeClock
        return await super().ask(method, path, **more)

    async def build(self) -> Town:
        """Make one of everything by its maker, and one of everything with text in every field."""
        self.stage.house.clock.advance(1)  # type: ignore[attr-defined]  # as below
        self.cookie = await cookie_of(self.stage) | {"User-Agent": self.text}
        rename = "UPDATE organizations SET name = ? WHERE id = ?"
        await self.stage.house.db.write(Conn.execute, rename, (self.text, self.org.id))
        await self.everything()
        for route in ROUTES:
            if route.method == "POST" and route.declaration is not None and "{" not in route.path:
                await self._fill(route)
        await self._fail()
        return self

    async def _fill(self, route: Route) -> None:
        body = None if route.declaration is None else route.declaration.body
        for kind in variants(body) if body is not None else ():
            if kind.__name__ not in SAMPLES or route.access is PUBLIC:
                continue
            sound = await SAMPLES[kind.__name__](self)
            for place in places(kind):
                if place.path == ("monitor_ids",):
                    sound = place.put(sound, await self.one("monitor"))
            config = kind.__struct_config__
            if config.tag is not None:
                sound[str(config.tag_field)] = config.tag
            for name in texts(kind):
                if self.only is not None and f"{kind.__name__}.{name}" not in self.only:
                    continue
                for text in (self.text, self.text[: len(SHORT)]):
                    tried = sound | {name: text}
                    answer = await self.ask("POST", route.path, json_body=tried)
                    if answer.status in {200, 201}:
                        sound = tried
                        self.taken.add(f"{kind.__name__}.{name}")
                        break

    async def _fail(self) -> None:
        """Have a check fail with the text: what a far side says comes in like this."""
        found = await self.stage.house.db.read(monitors.load_one, await self.one("monitor"))
        assert found is not None
        monitor, watch = found
        at = self.now
        check = Check(
            due_at=at,
            started_at=at,
            result=Result.DOWN,
            failure=Failure.STATUS,
            detail=self.text,
            message=self.text,
        )
        flip = Flip(
            before=watch.status, after=Status.DOWN, at=at, decided_at=at, check=check, opens=True
        )
        after = replace(watch, status=Status.DOWN, since=at, settled=Status.DOWN)
        edge = Edge(monitor=monitor, watch=after, flip=flip)
        await self.stage.house.db.write(edges.record, edge)

    async def pages(self) -> dict[str, Answer]:
        """Return every page there is, with its parts, filled forms and errors."""
        found: dict[str, Answer] = {}
        for route in PAGES:
            values = {n: await self.one(noun) for n, noun in route.parameters.items() if noun}
            url = route.url(values)
            for query in QUERIES:
                filled = {name: value.format(text=self.text) for name, value in query.items()}
                what = f"{route.path} {query}"
                found[what] = await ask(self.app, "GET", url, headers=self.cookie, query=filled)
            stranger = await ask(self.app, "GET", url, query={"next": "/" + self.text})
            found[f"{route.path} as a stranger"] = stranger
            page = Page(found[f"{route.path} {{}}"].text)
            for number, form in enumerate(page.forms):
                if form.method == "POST" and form.action != "/logout":
                    # One that is out of date is shown again, with all that was typed in.
                    sent = [(n, self.text if n not in KEPT else value) for n, value in form.fields]
                    where = (form.action or url).partition("?")[0]
                    answer = await ask(self.app, "POST", where, headers=self.cookie, form=sent)
                    found[f"{route.path} form {number}"] = answer
        found["a path"] = await ask(self.app, "GET", "/" + self.text.replace("/", "|"))
        return found


QUERIES: list[dict[str, str]] = [
    {},
    {"q": "{text}", "tag": "{text}", "group": "{text}", "status": "{text}", "type": "{text}"},
    {"told": "{text}", "part": "{text}", "page": "{text}", "sort": "{text}"},
    *({"part": part} for part in ("checks", "incidents", "figures", "deliveries", "monitors")),
]
KEPT = {"version", "type", "action"}
"""Fields of forms that say what the form is."""


def texts(kind: Any) -> Iterator[str]:
    """Yield the fields of a Struct that hold text and are no ids."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        types = field.type.types if isinstance(field.type, inspect.UnionType) else [field.type]
        if any(isinstance(each, inspect.StrType) for each in types):
            yield field.encode_name


class Shape(HTMLParser):
    """What a page is made of: elements and the names of their attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.scripts: list[str | None] = []
        self.handlers: list[str] = []
        self.links: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.parts.append(f"<{tag} {' '.join(name for name, _ in attrs)}>")
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        found = dict(attrs)
        if tag == "script":
            self.scripts.append(found.get("src"))
        self.links += [found[n] or "" for n in ("href", "src", "action") if n in found]

    def handle_endtag(self, tag: str) -> None:
        """Note its end."""
        self.parts.append(f"</{tag}>")

    def handle_comment(self, data: str) -> None:
        """Note a comment."""
        self.parts.append("<!-- -->")


@pytest.fixture
async def towns(
    open_stage: Opener, tmp_path: Path, prepared: tuple[Path, Path, Cast]
) -> list[Town]:
    """The same town with the polyglot and with plain words of the same length."""
    built: list[Town] = []
    for text in (POLYGLOT, PLAIN + "x" * (len(POLYGLOT) - len(PLAIN))):
        data = tmp_path / str(len(built))
        shutil.copytree(prepared[1], data)
        data.chmod(0o700)
        stage = await open_stage(config=UNLIMITED, data=data)
        built.append(await Town(stage, text, built[0].taken if built else None).build())
    return built


async def test_every_page_has_the_elements_it_has_with_plain_words(towns: list[Town]) -> None:
    foreign, plain = towns
    assert plain.taken == foreign.taken
    assert {
        "HttpSpec.name",
        "HttpSpec.description",
        "HttpSpec.group",
        "RuleSpec.name",
        "RuleSpec.tag",
        "IncidentSpec.title",
        "IncidentSpec.message",
        "MaintenanceSpec.title",
        "MaintenanceSpec.description",
    } <= foreign.taken
    pages, expected = await foreign.pages(), await plain.pages()
    usual = {what: Shape(answer.text).parts for what, answer in expected.items()}
    known = {part for parts in usual.values() for part in parts}
    assert pages.keys() == expected.keys()
    shown = 0
    for what, answer in pages.items():
        assert answer.status == expected[what].status, (what, answer.text[:500])
        kind = answer.header("content-type") or ""
        if not kind.startswith("text/html"):
            assert answer.header("x-content-type-options") == "nosniff", what
            continue
        shape = Shape(answer.text)
        if "{text}" in what:
            # What a filter finds hangs on its text: no element of another kind, then.
            assert set(shape.parts) <= known, what
        else:
            assert shape.parts == usual[what], what
        assert shape.handlers == [], what
        assert all(src and src.startswith("/static/") for src in shape.scripts), what
        for link in shape.links:
            assert not link.strip().lower().startswith(("javascript:", "data:text")), what
        shown += "np()" in answer.text
    assert shown >= 20, "the text is on the pages, or they would prove nothing"


SCRIPTS = [
    "javascript:np()",
    "JaVaScRiPt:np()",
    " javascript:np()",
    "java\tscript:np()",
    "javascript://x.example/%0anp()",
    "data:text/html,<script>np()</script>",
    "vbscript:np()",
    "\\javascript:np()",
]


@pytest.mark.parametrize("address", SCRIPTS)
async def test_no_address_of_anybodys_is_a_script(open_stage: Opener, address: str) -> None:
    """Whatever is shown as a link leads to a page of ours, or by http to somebody's."""
    stage = await open_stage(config=UNLIMITED)
    side = Side(stage, stage.cast.alice, "acme")
    target = "http://127.0.0.1:9/"
    monitor = {"type": "http", "name": "m", "target": target}
    tried = [
        ("/v1/monitors", monitor | {"runbook_url": address}),
        ("/v1/monitors", monitor | {"target": address}),
        ("/v1/monitors", monitor | {"type": "push", "target": address}),
        ("/v1/monitors", monitor | {"description": address}),
        ("/v1/incidents", {"title": address.strip(), "message": address}),
        ("/v1/status-pages", {"slug": "page", "title": "x", "text": address}),
    ]
    for path, body in tried:
        await side.ask("POST", path, json_body=body)
    cookie = await cookie_of(stage)
    for route in PAGES:
        values = {name: await side.one(noun) for name, noun in route.parameters.items() if noun}
        for query in ({}, {"next": address}, {"q": address}):
            answer = await ask(side.app, "GET", route.url(values), headers=cookie, query=query)
            for link in Shape(answer.text).links:
                assert link == "" or link.startswith(("/", "?", "#", "http://", "https://")), link
