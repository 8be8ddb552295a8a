"""Subscribers of status pages for tests: asking, confirming, and what they are told."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Generator

import httpx

from netpulse.config import Config, Server, Smtp
from netpulse.model.check import Check, Result
from netpulse.model.ids import Id
from netpulse.model.letter import Letter
from netpulse.model.watch import Flip, Status, Watch
from netpulse.storage import edges, letters, monitors
from netpulse.storage.edges import Edge
from tests.cast import SIGNER, Person
from tests.clock import FakeClock
from tests.conftest import Stage

PUBLIC_URL = "https://netpulse.example"
WITH_MAIL = Config(
    server=Server(public_url=PUBLIC_URL),
    smtp=Smtp(host="mail.example", sender="NetPulse <netpulse@example.com>"),
)
READER = "reader@mail.example"
ASKED = "If this address is not subscribed already, a letter is on its way to it."


class Lasting(httpx.Auth):
    """Signs each request anew, so that a token outlasts the hours that a test lets pass."""

    def __init__(self, stage: Stage, person: Person) -> None:
        claims = person.token.split(".")[1]
        padded = claims + "=" * (-len(claims) % 4)
        self._family: str = json.loads(base64.urlsafe_b64decode(padded))["sid"]
        self._stage, self._person = stage, person

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        now = self._stage.house.clock.now()
        token = SIGNER.issue(self._person.id, self._family, now)
        request.headers["Authorization"] = f"Bearer {token}"
        yield request


def clock_of(stage: Stage) -> FakeClock:
    """Return the stage's clock, to be moved."""
    clock = stage.house.clock
    assert isinstance(clock, FakeClock)
    return clock


async def ask(
    client: httpx.AsyncClient, address: str = READER, *, kind: str = "email", slug: str = "acme"
) -> httpx.Response:
    """Fill in the form."""
    data = {"kind": kind, "address": address}
    return await client.post(f"/status/{slug}/subscribe", data=data)


async def subscribe(stage: Stage, address: str = READER, *, slug: str = "acme") -> str:
    """Subscribe by mail, from the form to the button; returns the path of the link that ends it."""
    client = stage.client()
    assert (await ask(client, address, slug=slug)).status_code == 200
    (letter,) = [one for one in await stage.letters() if one.recipient == address]
    await take(stage, letter)
    path = link_in(letter.text)
    assert (await client.post(path)).status_code == 200
    return path.replace("/confirm", "/unsubscribe")


def link_in(text: str, act: str = "confirm") -> str:
    """Return the path of a link in a text."""
    found = re.search(rf"{PUBLIC_URL}(/subscriptions/[^/\s]+/{act})", text)
    assert found is not None, text
    return found[1]


async def take(stage: Stage, letter: Letter) -> None:
    """Have a letter sent."""
    await stage.house.db.write(letters.sent, letter.id, stage.house.clock.now())


async def taken(stage: Stage) -> list[Letter]:
    """Return the letters that wait, each of which is sent now."""
    waiting = await stage.letters()
    for letter in waiting:
        await take(stage, letter)
    return waiting


async def turn(stage: Stage) -> float:
    """Look for news once, at everything that has changed."""
    return await stage.house.engine.page_news.turn()


async def mend(stage: Stage, monitor_id: Id, at: int) -> None:
    """Write the edge that ends a monitor's outage at `at`, as the engine would."""
    found = await stage.house.db.read(monitors.load_one, monitor_id)
    assert found is not None
    monitor, watch = found
    check = Check(due_at=at, started_at=at, result=Result.UP)
    flip = Flip(
        before=watch.status, after=Status.UP, at=at, decided_at=at, check=check, closes=True
    )
    after = Watch(status=Status.UP, since=at, settled=Status.UP)
    edge = Edge(monitor=monitor, watch=after, flip=flip)
    assert not (await stage.house.db.write(edges.record, edge)).dropped
    stage.house.engine.live.stir(monitor.org_id)
