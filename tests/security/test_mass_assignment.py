"""Only the declared fields of a body change anything: every column of every table is tried on every
route that takes a body.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct, inspect

from netpulse.config import Config, Limits
from netpulse.model.user import Role
from netpulse.rules.monitors import READ_ONLY
from netpulse.storage.db import Conn
from netpulse.web import routes
from netpulse.web.api.incident_answers import IncidentWithStory
from netpulse.web.endpoint import PUBLIC
from tests.asgi import ask
from tests.conftest import Opener, Stage
from tests.makers import SAMPLES, Side
from tests.security.test_csrf import everything
from tests.tenancy import Route, places, routes_of, variants

TEXT = "massassigned"
NUMBER = 424_242
MOST = 80
"""Fields sent at once: of more than a hundred mistakes not all are told."""
UNLIMITED = Config(limits=Limits(0, 0, 0, 0))
WITH_BODY = [
    (route, kind)
    for route in routes_of(routes.ROUTES)
    if route.declaration is not None and route.declaration.body is not None
    for kind in variants(route.declaration.body)
]
"""Each route that takes a body, with each Struct that the body may be."""


def columns(conn: Conn) -> set[str]:
    """Return the name of every column there is."""
    tables = conn.all("SELECT name FROM sqlite_schema WHERE type = 'table'")
    return {row[1] for (name,) in tables for row in conn.all(f'PRAGMA table_info("{name}")')}


def fields(kind: type[Struct]) -> set[str]:
    """Return the names of a Struct's fields, its tag among them."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return {field.encode_name for field in info.fields} | {str(info.tag_field)}


async def own_url(side: Side, route: Route) -> str:
    """Return the address with fresh things of the caller's own in it."""
    nouns = route.parameters
    return route.url({name: await side.fresh(noun) for name, noun in nouns.items() if noun})


async def refused_columns(side: Side, route: Route, names: list[str]) -> set[str]:
    """Send all of `names` as fields; return those that are told to be no fields of the route."""
    url = await own_url(side, route)
    sent = dict.fromkeys(names, TEXT)
    headers = {} if route.access is PUBLIC else side.admin.headers
    answer = await ask(side.app, route.method, url, headers=headers, json_body=sent)
    assert answer.status == 400, f"{route}: {answer.status} {answer.text[:300]}"
    return {
        each["path"].removeprefix("$.")
        for each in answer.json["error"]["details"]["errors"]
        if each["message"] == "there is no such field here"
    }


@pytest.fixture
async def side(open_stage: Opener) -> Side:
    """Alice's organization, with nothing counted."""
    stage: Stage = await open_stage(config=UNLIMITED)
    return Side(stage, stage.cast.alice, "acme")


async def test_a_column_is_no_field_unless_it_is_declared(side: Side) -> None:
    """What is not declared is refused by its name, or is what answers add, which is ignored."""
    every = await side.stage.house.db.read(columns)
    assert {"org_id", "role", "password_hash", "totp_secret", "is_active", "deleted_at"} <= every
    walked = 0
    for route, kind in WITH_BODY:
        if route.access is Role.SUPER_ADMIN:
            continue
        others = sorted(every - fields(kind))
        refused: set[str] = set()
        for at in range(0, len(others), MOST):
            names = others[at : at + MOST]
            if kind.__struct_config__.tag is not None:
                refused |= await _tagged(side, route, kind, names)
            else:
                refused |= await refused_columns(side, route, names)
        answered = _answered(route)
        ignored = set(others) - refused
        assert ignored <= answered, f"{route}: {sorted(ignored - answered)} are neither"
        walked += 1
    assert walked >= 30


async def _tagged(side: Side, route: Route, kind: type[Struct], names: list[str]) -> set[str]:
    config = kind.__struct_config__
    url = await own_url(side, route)
    sent = dict.fromkeys(names, TEXT) | {str(config.tag_field): config.tag}
    answer = await side.ask(route.method, url, json_body=sent)
    assert answer.status == 400, f"{route}: {answer.status} {answer.text[:300]}"
    return {
        each["path"].removeprefix("$.")
        for each in answer.json["error"]["details"]["errors"]
        if each["message"] == "there is no such field here"
    }


def _answered(route: Route) -> set[str]:
    """Return the fields that answers of the route's noun have: they may come back, and are
    ignored."""
    assert route.declaration is not None
    if route.declaration.answer is None:
        return set()
    found: set[str] = set(READ_ONLY)
    for kind in variants(route.declaration.answer):
        found |= fields(kind)
    if "incidents" in route.path:
        found |= fields(IncidentWithStory)
    return found


async def test_what_is_ignored_is_not_taken(side: Side) -> None:
    every = await side.stage.house.db.read(columns)
    foreign = side.stage.cast.globex.id
    walked = 0
    for route, kind in WITH_BODY:
        name = kind.__name__
        if name not in SAMPLES or route.access in {PUBLIC, Role.SUPER_ADMIN}:
            continue
        sound = await sound_body(side, kind)
        others = sorted(every - fields(kind))
        ignored = set(others)
        for at in range(0, len(others), MOST):
            sent = sound | dict.fromkeys(others[at : at + MOST], TEXT)
            url = await own_url(side, route)
            answer = await side.ask(route.method, url, json_body=sent)
            if answer.status == 400:
                told = {each["path"][2:] for each in answer.json["error"]["details"]["errors"]}
                ignored -= told
        for value in (TEXT, foreign, NUMBER, "2001-01-01T00:00:00Z", True, None):
            url = await own_url(side, route)
            sent = sound | dict.fromkeys(ignored, value)
            answer = await side.ask(route.method, url, json_body=sent)
            assert answer.status in {200, 201, 409}, f"{route}: {answer.text}"
            for taken in (TEXT, foreign, str(NUMBER), "2001-01-01"):
                assert taken not in answer.text, f"{route} took {taken}"
        walked += 1
    assert walked >= 15
    rows = await side.stage.house.db.read(everything)
    for table, found in rows.items():
        mine = [row for row in found if side.org.id in row]
        for taken in (TEXT, foreign, str(NUMBER)):
            assert taken not in repr(mine), f"{table}: {taken}"


async def sound_body(side: Side, kind: type[Struct]) -> dict[str, Any]:
    """Return a body that the routes of a Struct with a sample take."""
    body = await SAMPLES[kind.__name__](side)
    for place in places(kind):
        if place.path[-1] in NEEDED:
            body = place.put(body, await side.one(place.noun))
    config = kind.__struct_config__
    return body if config.tag is None else body | {str(config.tag_field): config.tag}


NEEDED = {"monitor_ids"}
"""Ids without which the samples say nothing."""
