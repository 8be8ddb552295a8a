"""A page of another site makes nobody's browser do anything here: signed in or not, on every
route that changes something; and it cannot listen in.
"""

from __future__ import annotations

from typing import Any

import pytest

from netpulse.config import Config, Server
from netpulse.model.time import DAY
from netpulse.storage import sessions
from netpulse.storage.db import Conn
from netpulse.web import routes
from netpulse.web.border import OPEN, SAFE
from tests.asgi import HOST, ask
from tests.cast import DIGESTER, PASSWORD
from tests.conftest import Opener, Stage
from tests.makers import Side
from tests.tenancy import Unnoted, routes_of

UNSAFE = [
    route
    for route in routes_of(routes.ROUTES)
    if route.method not in SAFE and not route.path.startswith(OPEN)
]
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{HOST}"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": f"http://{HOST}.evil.example"},
    {"Origin": f"http://{HOST}:8081"},
    {"Origin": f"http://evil.example/{HOST}"},
    {"Origin": f"http://{HOST}@evil.example"},
    {"Origin": ""},
]
"""What browsers say of a request that a page of another site makes them send."""


async def cookie_of(stage: Stage) -> dict[str, str]:
    """Return a page session of Alice's."""
    alice, now = stage.cast.alice, stage.house.clock.now()
    await stage.house.db.write(
        sessions.create,
        DIGESTER.digest("alices"),
        alice.id,
        alice.org.id,
        now,
        now + DAY,
        None,
        None,
    )
    return {"Cookie": "np_session=alices"}


def everything(conn: Conn) -> dict[str, list[Any]]:
    """Return every row there is."""
    tables = conn.all("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    return {name: conn.all(f'SELECT * FROM "{name}"') for (name,) in tables}  # noqa: S608 - the schema's own names


@pytest.mark.parametrize("said", FOREIGN, ids=repr)
async def test_no_route_that_changes_something_takes_it(house: Stage, said: dict[str, str]) -> None:
    assert len(UNSAFE) > 60
    cookie = await cookie_of(house)
    before = await house.house.db.read(everything)
    for route in UNSAFE:
        url = route.url(dict.fromkeys(route.parameters, house.cast.alice.id))
        for sent in ({"json_body": {}}, {"form": {"email": house.cast.alice.email}}):
            answer = await ask(house.app, route.method, url, headers=cookie | said, **sent)
            assert answer.status == 403, f"{route}: {answer.text}"
            assert "another site" in answer.text, str(route)
            assert answer.header("set-cookie") is None, str(route)
    assert await house.house.db.read(everything) == before


async def test_nobody_is_signed_in_as_somebody_else(house: Stage) -> None:
    """Login CSRF: a foreign page's form must not put its own account before the reader."""
    charlie = {"email": house.cast.charlie.email, "password": PASSWORD}
    for path, sent in (("/login", {"form": charlie}), ("/v1/auth/login", {"json_body": charlie})):
        for said in FOREIGN:
            answer = await ask(house.app, "POST", path, headers=said, **sent)
            assert answer.status == 403
            assert answer.header("set-cookie") is None
        own = await ask(house.app, "POST", path, headers={"Origin": f"http://{HOST}"}, **sent)
        assert own.header("set-cookie")


async def test_the_public_address_counts_as_our_own(open_stage: Opener) -> None:
    stage = await open_stage(config=Config(server=Server(public_url="https://status.example")))
    # A proxy may pass on a name of its own, within its own network.
    cookie = await cookie_of(stage) | {"Host": "netpulse.internal:8080"}
    for said, status in (
        ({"Origin": "https://status.example"}, 303),
        ({"Origin": "https://status.example.evil.example"}, 403),
    ):
        answer = await ask(stage.app, "POST", "/logout", headers=cookie | said, form={})
        assert answer.status == status


async def test_nobody_listens_in(house: Stage) -> None:
    cookie = await cookie_of(house)
    for said in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        answer = await ask(house.app, "GET", "/live", headers=cookie | said)
        assert answer.status == 403
    # Browsers that say only where a request comes from do so for CORS, which is not answered.
    answer = await ask(
        house.app, "GET", "/live", headers=cookie | {"Origin": "https://evil.example"}
    )
    assert answer.header("access-control-allow-origin") is None
    assert answer.header("cross-origin-resource-policy") == "same-origin"
    upgraded: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        upgraded.append(message["type"])

    scope = {"type": "websocket", "path": "/live", "headers": [], "subprotocols": []}
    await house.app(scope, receive, send)  # type: ignore[arg-type]  # the same protocol
    assert upgraded == ["websocket.close"]


async def test_get_changes_nothing(house: Stage) -> None:
    """Whatever a link, an image or a scanner can ask for leaves everything as it was."""
    # But for a row about what was refused to somebody (tests/api/test_denials.py).
    house.house.denials = Unnoted()
    side = Side(house, house.cast.alice, "acme")
    made = await side.everything()
    cookie = await cookie_of(house)
    before = await house.house.db.read(everything)
    for route in routes_of(routes.ROUTES):
        # An export is noted in the audit log, and changes nothing else.
        noted = route.path.endswith("/export")
        if route.method == "GET" and not route.path.startswith(OPEN) and not noted:
            values = {name: made[noun] for name, noun in route.parameters.items() if noun}
            for headers in (cookie, side.admin.headers):
                answer = await ask(house.app, "GET", route.url(values), headers=headers)
                assert answer.status < 500, f"{route}: {answer.text}"
    assert await house.house.db.read(everything) == before
