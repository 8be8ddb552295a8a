"""Another organization's things answer as things that do not exist: everywhere.

The walk derives itself from the table of contents (`web.routes.ROUTES`) and from what each route
declares: every id in a path, in a body, in a query, in a form of a page. A route that is added is
walked without a line here; an id that nobody can make fails the walk (`tests/makers.py`).

Charlie of Globex asks; Alice of Acme owns what is asked for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from netpulse.config import Config, Limits
from netpulse.model.api_key import SCOPES
from netpulse.model.time import DAY
from netpulse.storage import sessions
from netpulse.storage.db import Conn
from netpulse.web import page_org, routes
from netpulse.web.endpoint import PUBLIC
from netpulse.web.rates import Rate
from tests.asgi import Answer, ask
from tests.cast import DIGESTER
from tests.clock import START
from tests.conftest import Opener, Stage
from tests.makers import MAKERS, SAMPLES, Side, random_id
from tests.tenancy import (
    Page,
    Place,
    Route,
    Unknown,
    Unnoted,
    filters,
    id_fields,
    places,
    query_names,
    routes_of,
    variants,
)

ROUTES = routes_of(routes.ROUTES)
WITH_IDS = [
    (route, name, noun)
    for route in ROUTES
    for name, noun in route.parameters.items()
    if noun is not None
]
BODIES = [
    (route, place)
    for route in ROUTES
    if route.declaration is not None and route.declaration.body is not None
    for kind in variants(route.declaration.body)
    for place in places(kind)
]
STREAMS = {"/live"}
"""Endless answers; each has a test of its own below."""
LEAVING = {"/logout", "/switch"}
"""Forms after which whoever sent them is out, or elsewhere (tests/api/test_switch.py)."""
QUERIES: dict[str, dict[str, str]] = {
    "UptimeQuery": {"period": "24h"},
    "ExportQuery": {"format": "jsonl"},
}
"""By the Struct of a query: what it must have beside the filter that is tried."""
HERE = "id-goes-here"
"""Stands in a request for the id that is tried."""

GOES: ContextVar[list[int]] = ContextVar("goes")
"""How often the request under way went to storage."""


class Both:
    """The two organizations, everything made in both, and the attacker's ways to ask."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.acme = Side(stage, stage.cast.alice, "acmeonly")
        self.globex = Side(stage, stage.cast.charlie, "globexonly")
        self.key: dict[str, str] = {}
        self.cookie: dict[str, str] = {}
        self.before: dict[str, list[Any]] = {}

    async def prepare(self) -> Both:
        """Make everything, and let the attacker in by every door there is."""
        for side in (self.acme, self.globex):
            await side.everything()
        made = await self.globex.post("/v1/api-keys", {"name": "All", "scopes": sorted(SCOPES)})
        self.key = {"X-API-Key": made["key"]}
        charlie = self.globex.admin
        await self.stage.house.db.write(
            sessions.create,
            DIGESTER.digest("charlies"),
            charlie.id,
            charlie.org.id,
            START,
            START + DAY,
            None,
            None,
        )
        self.cookie = {"Cookie": "np_session=charlies"}
        # Its first use is noted, which later ones in the same minute are not.
        await ask(self.acme.app, "GET", "/v1/monitors", headers=self.key)
        self._count()
        return self

    def doors(self, route: Route) -> list[dict[str, str]]:
        """Return the headers that each way of signing in sends, the usual one first."""
        if not route.path.startswith("/v1/"):
            return [self.cookie]
        found = [self.globex.admin.headers]
        return found if route.declaration is None else [*found, self.key]

    async def own(self, route: Route, *, fresh: bool = False) -> dict[str, str]:
        """Return ids of the attacker's own for every parameter of a route."""
        side = self.globex
        return {
            name: await (side.fresh(noun) if fresh else side.one(noun))
            for name, noun in route.parameters.items()
            if noun is not None
        }

    async def same(
        self,
        what: str,
        method: str,
        url: str,
        headers: dict[str, str],
        foreign: str,
        random: str,
        **more: Any,
    ) -> Answer:
        """Make the request with what is Acme's and with what is nobody's in place of HERE: the
        same answer, after the same work. Returns it."""
        theirs, cost = await self._try(method, url, headers, foreign, more)
        nobodys, usual = await self._try(method, url, headers, random, more)
        assert theirs.without(foreign) == nobodys.without(random), what
        assert cost == usual, f"{what}: {cost} goes to storage for theirs, {usual} for nobody's"
        assert theirs.status < 500, f"{what}: {theirs.text}"
        self.no_trace(what, theirs, foreign)
        return theirs

    async def _try(
        self, method: str, url: str, headers: dict[str, str], value: str, more: dict[str, Any]
    ) -> tuple[Answer, int]:
        # The value is an id or a word: it needs no escaping in a path or in JSON.
        filled = json.loads(
            json.dumps({"url": url, "headers": headers, **more}).replace(HERE, value)
        )
        counted = GOES.set([0])
        answer = await ask(self.acme.app, method, filled.pop("url"), **filled)
        (goes,) = GOES.get()
        GOES.reset(counted)
        return answer, goes

    def no_trace(self, what: str, answer: Answer, sent: str = "") -> None:
        """Make sure that nothing of Acme's is in an answer, apart from what was sent in."""
        found = f"{answer.text} {answer.headers}"
        found = found.replace(sent, "") if sent else found
        for text in (*self.acme.made.values(), *self.acme.texts, self.acme.mark):
            assert text == sent or text not in found, f"{what} shows {text}"

    async def rows(self) -> dict[str, list[Any]]:
        """Return every row of the database that speaks of Acme or of anything of Acme's."""
        return await self.stage.house.db.read(_rows_about, self.acme.org.id)

    def _count(self) -> None:
        db = self.stage.house.db
        read, write = db.read, db.write

        async def counted_read(*args: Any, **more: Any) -> Any:
            GOES.get([0])[0] += 1
            return await read(*args, **more)

        async def counted_write(*args: Any, **more: Any) -> Any:
            GOES.get([0])[0] += 1
            return await write(*args, **more)

        db.read, db.write = counted_read, counted_write  # type: ignore[method-assign]


def _rows_about(conn: Conn, org_id: str) -> dict[str, list[Any]]:
    """Return by table the rows that name the organization, or what is the organization's."""
    tables = conn.all("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    every = {name: conn.all(f'SELECT * FROM "{name}"') for (name,) in tables}  # noqa: S608 - the schema's own names
    # What somebody asked for in an export is written down in their own log, whatever they sent.
    asked = conn.all(
        "SELECT * FROM audit_logs WHERE action = 'audit.exported' AND org_id <> ?", (org_id,)
    )
    every["audit_logs"] = [row for row in every["audit_logs"] if row not in asked]
    known = {org_id}
    for name, rows in every.items():
        columns = [row[1] for row in conn.all(f'PRAGMA table_info("{name}")')]
        owner = next((at for at in ("org_id", "home_org_id") if at in columns), None)
        if "id" in columns and owner is not None:
            id_at, owner_at = columns.index("id"), columns.index(owner)
            known |= {row[id_at] for row in rows if row[owner_at] == org_id}
    return {
        name: [row for row in rows if any(each in repr(row) for each in known)]
        for name, rows in every.items()
    }


@pytest.fixture
async def both(open_stage: Opener) -> AsyncIterator[Both]:
    """Both organizations; afterwards nothing of Acme's may have changed, no audit row more."""
    # How often anybody asks is not the question here.
    stage = await open_stage(config=Config(limits=Limits(0, 0, 0, 0)))
    stage.house.rates.exports = Rate(0)
    # Nor what somebody's own log tells of what they were refused (tests/api/test_denials.py): it
    # repeats what they sent, and the first of a minute costs a row more.
    stage.house.denials = Unnoted()
    found = await Both(stage).prepare()
    found.before = await found.rows()
    assert sum(len(rows) for rows in found.before.values()) > 20
    yield found
    before, after = found.before, await found.rows()
    for table, rows in before.items():
        assert after[table] == rows, f"{table}: something of another organization changed"
    assert after.keys() == before.keys()


# What the walk finds


def test_the_walk_finds_its_subjects() -> None:
    assert len(WITH_IDS) >= 45
    assert {noun for _, _, noun in WITH_IDS} <= set(MAKERS)
    assert {"RuleSpec.fallback_channel_id", "IncidentSpec.monitor_ids", "DnsSpec.parent_id"} <= {
        str(place) for _, place in BODIES
    }


def test_what_nobody_can_make_is_an_error_that_says_what_to_add() -> None:
    with pytest.raises(Unknown, match=r"nobody can make what \{id\} names"):
        _ = Route("GET", "/v1/wizards/{id:str}", None, None).parameters
    with pytest.raises(Unknown, match=r"enter it in MAKERS \(as 'wizard'\)"):
        _ = Route("GET", "/v1/monitors/{id:str}/{wizard_id:str}", None, None).parameters
    nested = Route("DELETE", "/v1/monitors/{id:str}/grants/{user_id:str}", None, None)
    assert nested.parameters == {"id": "monitor", "user_id": "user"}

    class Spell(msgspec.Struct):
        wizard_id: str

    with pytest.raises(Unknown, match=r"Spell\.wizard_id: nobody can make what it names"):
        list(places(Spell))
    with pytest.raises(Unknown, match=r"Spell\.wizard_id: nobody can make what it names"):
        filters(Spell)


# Ids in paths


async def test_ids_in_paths(both: Both) -> None:
    for route, name, noun in WITH_IDS:
        await _path(both, route, name, noun)
    # And the same with one's own, or the walk above would prove nothing.
    for route, _, _ in WITH_IDS:
        if route.is_for_the_instance:
            continue
        url = route.url(await both.own(route, fresh=True))
        (body, *_) = _bodies(both, route)
        (headers, *_) = both.doors(route)
        answer = await ask(both.acme.app, route.method, url, headers=headers, **body)
        assert answer.status not in {403, 404}, (str(route), answer.text[:300])


def _bodies(both: Both, route: Route) -> list[dict[str, Any]]:
    """Return something to send: bodies that are not what the route wants."""
    if route.method in {"GET", "DELETE"}:
        return [{}]
    if not route.path.startswith("/v1/"):
        # A page of theirs says so; without it nothing is looked at.
        return [{"form": {"x": "y", page_org.FIELD: both.globex.org.id}}]
    return [{"json_body": {}}, {"json_body": {"x": 1}}]


async def _path(both: Both, route: Route, name: str, noun: str) -> None:
    url = route.url(await both.own(route) | {name: HERE})
    foreign, random = await both.acme.one(noun), random_id()
    what = f"{route} {{{name}}}"
    for headers in both.doors(route):
        for body in _bodies(both, route):
            for more in ({}, {"If-Match": '"1"'}):
                sent = headers | more
                answer = await both.same(what, route.method, url, sent, foreign, random, **body)
                allowed = {403} if route.is_for_the_instance else {404}
                # No key is taken in some places.
                allowed |= {403} if headers is both.key else set()
                assert answer.status in allowed, (what, answer.status, answer.text)
                upper, lower = foreign.upper(), random.upper()
                shouted = await both.same(what, route.method, url, sent, upper, lower, **body)
                assert shouted.status == answer.status, what


# Ids in bodies


async def _sound_body(side: Side, place: Place, own: str) -> dict[str, Any]:
    name = place.kind.__name__
    if name not in SAMPLES:
        raise Unknown(
            f"{place} is an id, and nobody can fill in the rest of the body: add a sound one to "
            "SAMPLES in tests/makers.py"
        )
    body = place.put(await SAMPLES[name](side), own)
    config = place.kind.__struct_config__
    if config.tag is not None:
        body[str(config.tag_field)] = config.tag
    return body


async def test_ids_in_bodies(both: Both) -> None:
    for route, place in BODIES:
        what = f"{route} {place}"
        url = route.url(await both.own(route, fresh=True))
        foreign, random = await both.acme.one(place.noun), random_id()
        sound = await _sound_body(both.globex, place, await both.globex.fresh(place.noun))
        sent = place.put(sound, HERE)
        for headers in both.doors(route):
            answer = await both.same(
                what, route.method, url, headers, foreign, random, json_body=sent
            )
            allowed = {403} if route.is_for_the_instance else {400, 404}
            allowed |= {403} if headers is both.key else set()
            assert answer.status in allowed, (what, answer.status, answer.text)
        if not route.is_for_the_instance:
            (headers, *_) = both.doors(route)
            right = await ask(both.acme.app, route.method, url, headers=headers, json_body=sound)
            # 409: it was understood, and cannot be done now.
            assert right.status in {200, 201, 409}, f"{what}: no sound sample: {right.text}"


# Filters, lists, exports, pages, metrics


async def test_filters(both: Both) -> None:
    for route in ROUTES:
        declaration = route.declaration
        if declaration is None or declaration.query is None:
            continue
        url = route.url(await both.own(route))
        needed = QUERIES.get(declaration.query.__name__, {})
        for each in filters(declaration.query):
            pairs = [
                (both.acme.mark, "nobodysx"),
                (both.acme.admin.email, "alice@none.example"),
                (both.acme.made["monitor"], random_id()),
            ]
            if each.noun is not None:
                pairs = [(await both.acme.one(each.noun), random_id())]
            for foreign, random in pairs:
                for headers in both.doors(route):
                    what, query = f"{route} ?{each.name}", needed | {each.name: HERE}
                    if declaration.media:
                        # An export of the log is in the next one: the two cannot be the same.
                        sent = query | {each.name: foreign}
                        answer = await ask(
                            both.acme.app, route.method, url, headers=headers, query=sent
                        )
                        both.no_trace(what, answer, foreign)
                        continue
                    await both.same(what, route.method, url, headers, foreign, random, query=query)


async def test_what_can_be_read_shows_nothing_of_others(both: Both) -> None:
    streams = set()
    for route in ROUTES:
        if route.method != "GET":
            continue
        url = route.url(await both.own(route))
        for headers in [*both.doors(route), {}]:
            for query in ({}, {"limit": "100"}, {"format": "csv"}):
                answer = await ask(both.acme.app, "GET", url, headers=headers, query=query)
                both.no_trace(str(route), answer)
                if (answer.header("content-type") or "").startswith("text/event-stream"):
                    streams.add(route.path)
    assert streams == STREAMS, "an endless answer: give it a test here and enter it in STREAMS"


async def test_the_owner_sees_all_of_it(both: Both) -> None:
    """What the walk looks for is there to be found, or its silence would prove nothing."""
    for path, noun in (
        ("/v1/monitors", "monitor"),
        ("/v1/incidents", "incident"),
        ("/v1/alert-events", "alert_event"),
        ("/monitors", "monitor"),
    ):
        answer = await both.acme.ask("GET", path)
        assert both.acme.made[noun] in answer.text, path
        with pytest.raises(AssertionError, match="shows"):
            both.no_trace(path, answer)


# Forms and searches of pages


async def test_forms_of_pages(both: Both) -> None:
    tried: set[tuple[str, str]] = set()
    taken: set[tuple[str, str]] = set()
    for route in await _pages(both):
        url = route.url(await both.own(route))
        page = Page((await ask(both.acme.app, "GET", url, headers=both.cookie)).text)
        for number, form in enumerate(page.forms):
            action = urlsplit(form.action).path or url
            if form.method != "POST" or action in LEAVING:
                continue
            for field in id_fields(form, both.globex.made):
                tried.add((route.path, field.name))
                if await _form_field(both, url, number, field.name):
                    taken.add((route.path, field.name))
    assert {
        ("/alerts/rules/new", "channel_id"),
        ("/alerts/rules/new", "monitor_id"),
        ("/incidents/new", "monitor_ids"),
        ("/maintenance/new", "monitor_ids"),
        ("/monitors/new", "parent_id"),
    } <= tried
    # With an id of one's own each of them does something, or the walk would prove nothing.
    assert {name for _, name in tried} == {name for _, name in taken}, tried - taken


async def _pages(both: Both) -> list[Route]:
    found = []
    for route in ROUTES:
        if route.method != "GET" or route.path.startswith("/v1/") or route.path in STREAMS:
            continue
        url = route.url(await both.own(route))
        answer = await ask(both.acme.app, "GET", url, headers=both.cookie)
        if (answer.header("content-type") or "").startswith("text/html"):
            found.append(route)
    return found


async def _form_field(both: Both, url: str, number: int, name: str) -> bool:
    """Send a page's form with what is Acme's in one field; tell whether it takes what is ours."""
    page = Page((await ask(both.acme.app, "GET", url, headers=both.cookie)).text)
    form = page.forms[number]
    action = urlsplit(form.action).path or url
    (field,) = (each for each in id_fields(form, both.globex.made) if each.name == name)
    what = f"the form at {url}: {name}"
    for rest in field.rests:
        pairs = [*map(list, rest), [name, HERE]]
        for noun in field.nouns:
            foreign = await both.acme.one(noun)
            await both.same(what, "POST", action, both.cookie, foreign, random_id(), form=pairs)
    for rest in field.rests:
        for noun in field.nouns:
            filled = [(key, text or TEXTS.get(key, "")) for key, text in rest]
            own = [*filled, (name, await both.globex.fresh(noun))]
            answer = await ask(both.acme.app, "POST", action, headers=both.cookie, form=own)
            if answer.status == 303:
                return True
    return False


TEXTS = {"name": "Some name", "title": "Some title", "target": "http://127.0.0.1:9/"}
"""What is typed into fields that may not be empty."""


async def test_searches_of_pages(both: Both) -> None:
    searched: set[tuple[str, str]] = set()
    for route in await _pages(both):
        url = route.url(await both.own(route))
        answer = await ask(both.acme.app, "GET", url, headers=both.cookie)
        searched |= query_names(Page(answer.text), url)
    for path, name in sorted(searched):
        for foreign in (both.acme.mark, *both.acme.made.values()):
            random = "nobodysx" if foreign == both.acme.mark else random_id()
            what, query = f"{path}?{name}", {name: HERE}
            await both.same(what, "GET", path, both.cookie, foreign, random, query=query)
    assert ("/monitors", "q") in searched


# X-Org-Id


async def test_the_organization_that_is_named(both: Both) -> None:
    for route in ROUTES:
        await _named(both, route)


async def _named(both: Both, route: Route) -> None:
    if route.access is PUBLIC:
        return
    nouns = {name: noun for name, noun in route.parameters.items() if noun}
    url = route.url({name: await both.acme.one(noun) for name, noun in nouns.items()})
    for headers in both.doors(route):
        what, sent = f"{route} X-Org-Id", headers | {"X-Org-Id": HERE}
        answer = await both.same(what, route.method, url, sent, both.acme.org.id, random_id())
        assert answer.status == 403, what
        nonsense = await both.same(what, route.method, url, sent, "nonsense", "nobodysx")
        assert nonsense.without() == answer.without(), what


async def test_the_organization_that_a_page_names(both: Both) -> None:
    """A browser that is sent to another organization, or shows a page of one."""
    cookie, theirs = both.cookie, both.acme.org.id
    switch = [["org_id", HERE], [page_org.FIELD, both.globex.org.id]]
    answer = await both.same("/switch", "POST", "/switch", cookie, theirs, random_id(), form=switch)
    assert answer.status == 404
    for method, url, more in (
        ("POST", "/monitors/new", {"form": [[page_org.FIELD, HERE], ["name", "x"]]}),
        ("GET", "/dashboard", {"query": {page_org.FIELD: HERE}}),
        ("GET", "/live", {"query": {page_org.FIELD: HERE}}),
    ):
        answer = await both.same(f"{url} np_org", method, url, cookie, theirs, random_id(), **more)
        assert answer.status == 409, url
    sent = cookie | {page_org.HEADER: HERE}
    answer = await both.same("X-Page-Org", "GET", "/monitors", sent, theirs, random_id())
    assert answer.status == 409


# Providers and clients

RELATIONS = {
    "their provider, without a grant": ("acme", "globex"),
    "a client of theirs": ("globex", "acme"),
}
"""Who is the client, and whose."""
TELLS_OF_CLIENTS = ("/v1/org/clients", "/settings/clients", "/clients")
"""Where a provider sees that there is a client, and what it is called."""
TELLS_OF_PROVIDER = {"/v1/org", "/settings/organization"}
"""Where a client sees who looks after it."""


@pytest.mark.parametrize("relation", RELATIONS)
async def test_neither_a_provider_nor_a_client_sees_more(both: Both, relation: str) -> None:
    client, provider = (getattr(both, name).org.id for name in RELATIONS[relation])
    await both.stage.house.db.write(
        Conn.execute,
        "UPDATE organizations SET parent_id = ? WHERE id = ?",
        (provider, client),
    )
    both.before = await both.rows()
    for route, name, noun in WITH_IDS:
        if route.path.startswith(TELLS_OF_CLIENTS):
            continue
        await _path(both, route, name, noun)
    for route in ROUTES:
        await _named(both, route)
    known = both.acme.made.pop("org")
    for route in ROUTES:
        if route.method != "GET" or route.path in STREAMS:
            continue
        url = route.url(await both.own(route))
        for headers in both.doors(route):
            answer = await ask(both.acme.app, "GET", url, headers=headers)
            both.no_trace(str(route), answer)
            told = route.path.startswith(TELLS_OF_CLIENTS) or route.path in TELLS_OF_PROVIDER
            assert told or known not in answer.text, str(route)


# Streams


async def test_live_events(both: Both) -> None:
    """Whoever asks for the events of others' monitors hears what one hears of nobody's: nothing."""
    tell = both.stage.house.engine.live.tell
    theirs, ours = both.acme.made["monitor"], both.globex.made["monitor"]

    def happen() -> None:
        tell(both.acme.org.id, "incident", {"id": both.acme.made["incident"]})
        tell(both.acme.org.id, "counts", {"mark": both.acme.mark})
        tell(both.globex.org.id, "counts", {"own": 1})

    heard = []
    for ids in (theirs, random_id(), ours, f"{ours},{theirs}", None):
        answer = await ask(
            both.acme.app,
            "GET",
            "/live" + (f"?ids={ids}" if ids else ""),
            headers=both.cookie,
            on_stream=lambda: asyncio.get_running_loop().call_soon(happen),
            pieces=2,
        )
        assert answer.status == 200
        assert b'"own":1' in answer.body
        both.no_trace("/live", answer)
        heard.append(answer.without())
    assert all(each == heard[0] for each in heard)


# Names that count like ids


async def test_the_key_of_anothers_endpoint(both: Both) -> None:
    """Gatus names an endpoint by group and name: only with its own token does it count."""
    keys = {}
    for side in (both.acme, both.globex):
        body = {"type": "push", "name": "job", "group": side.mark, "interval_seconds": 3600}
        made = await side.post("/v1/monitors", body)
        keys[side] = f"{side.mark}_job", made["ping_url"].removeprefix("/ping/")
    both.before = await both.rows()
    (theirs, _), (ours, token) = keys[both.acme], keys[both.globex]
    signed = {"Authorization": f"Bearer {token}"}
    url = f"/api/v1/endpoints/{HERE}/external?success=true"
    answer = await both.same("Gatus", "POST", url, signed, theirs, "nobodysx_job")
    assert answer.status == 404
    right = await ask(both.acme.app, "POST", url.replace(HERE, ours), headers=signed)
    assert right.status == 200
