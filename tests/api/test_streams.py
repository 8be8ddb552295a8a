"""Open event streams end with their reader's right to them, whoever takes it away."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from netpulse.model.ids import Id
from netpulse.model.time import DAY, SECOND
from netpulse.model.user import Membership, Role
from netpulse.storage import meta, sessions, users
from netpulse.web import auth, streams, tokens
from netpulse.web.errors import of_status
from tests.api.test_server import events, served, until_no_streams
from tests.cast import DIGESTER, Person
from tests.clock import ShiftedClock
from tests.conftest import Opener, Stage

MOST_SECONDS = 5.0
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def running(open_stage: Opener) -> AsyncIterator[tuple[Stage, str]]:
    stage = await open_stage(clock=ShiftedClock(0), start=True)
    async with served(stage) as base:
        yield stage, base


class Browser:
    """A person's browser with a page session, and a stream that is open in it."""

    def __init__(self, stage: Stage, person: Person, number: int = 0) -> None:
        self.stage = stage
        self.person = person
        self.token = f"{person.name} {number}"

    async def sign_in(self) -> None:
        now = self.stage.house.clock.now()
        digest, org_id = DIGESTER.digest(self.token), self.person.org.id
        await self.stage.house.db.write(
            sessions.create, digest, self.person.id, org_id, now, now + 30 * DAY, None, None
        )

    async def sign_out(self) -> None:
        await self.stage.house.db.write(sessions.end, DIGESTER.digest(self.token))

    @asynccontextmanager
    async def open(self, base: str) -> AsyncIterator[httpx.Response]:
        cookie = {"Cookie": f"{tokens.session_cookie_name(False)}={self.token}"}
        async with (
            httpx.AsyncClient(base_url=base, headers=cookie, timeout=30) as client,
            client.stream("GET", "/live") as response,
        ):
            assert response.status_code == 200
            yield response


async def seconds_until_it_ends(response: httpx.Response) -> float:
    began = time.monotonic()
    async with asyncio.timeout(2 * MOST_SECONDS):
        async for _ in events(response):
            pass
    return time.monotonic() - began


Change = Callable[[Stage, Person], Awaitable[Any]]


async def disabled(stage: Stage, person: Person) -> None:
    await stage.house.db.write(users.set_active, person.id, False, stage.house.clock.now())


async def signed_out_everywhere(stage: Stage, person: Person) -> None:
    await stage.house.db.write(sessions.end_all, person.id, stage.house.clock.now())


async def removed(stage: Stage, person: Person) -> None:
    await stage.house.db.write(users.drop_membership, person.id, person.org.id)


async def lowered(stage: Stage, person: Person) -> None:
    membership = Membership(user_id=person.id, org_id=person.org.id, role=Role.VIEWER)
    await stage.house.db.write(users.put_membership, membership)


async def expired(stage: Stage, person: Person) -> None:
    del person
    clock = stage.house.clock
    assert isinstance(clock, ShiftedClock)
    clock.ahead_ms += 31 * DAY


@pytest.mark.parametrize("change", [disabled, signed_out_everywhere, removed, lowered, expired])
async def test_it_ends_within_five_seconds(running: tuple[Stage, str], change: Change) -> None:
    stage, base = running
    browsers = [Browser(stage, stage.cast.alice, number) for number in range(3)]
    browsers += [Browser(stage, stage.cast.bob), Browser(stage, stage.cast.charlie)]
    async with AsyncExitStack() as stack:
        opened = []
        for browser in browsers:
            await browser.sign_in()
            opened.append(await stack.enter_async_context(browser.open(base)))
        # They have been looked after for a while already.
        await asyncio.sleep(1.5 * streams.ROUND_SECONDS)
        assert len(stage.house.streams) == 5
        await change(stage, stage.cast.alice)
        # Time passes for everybody; the rest is about nobody else.
        ending = opened if change is expired else opened[:3]
        took = await asyncio.gather(*map(seconds_until_it_ends, ending))
        assert max(took) < MOST_SECONDS
        await asyncio.sleep(0.1)
        assert len(stage.house.streams) == 5 - len(ending)
    await until_no_streams(stage)


async def test_one_ended_session_ends_one_stream(running: tuple[Stage, str]) -> None:
    stage, base = running
    first, second = (Browser(stage, stage.cast.alice, number) for number in range(2))
    await first.sign_in()
    await second.sign_in()
    async with first.open(base) as one, second.open(base) as other:
        await first.sign_out()
        assert await seconds_until_it_ends(one) < MOST_SECONDS
        await asyncio.sleep(0.1)
        assert len(stage.house.streams) == 1
        assert other.is_closed is False


async def test_an_access_token_ends_its_stream_when_it_expires(running: tuple[Stage, str]) -> None:
    stage, base = running
    now, alice = stage.house.clock.now(), stage.cast.alice
    family = await stage.house.db.write(sessions.start_family, alice.id, "d", now, now + DAY)
    almost = now - (tokens.ACCESS_SECONDS - 2) * SECOND
    headers = {
        "Authorization": f"Bearer {stage.house.signer.issue(alice.id, family, almost)}",
    }
    async with (
        httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as client,
        client.stream("GET", "/live") as response,
    ):
        assert response.status_code == 200
        assert await seconds_until_it_ends(response) < 2 + MOST_SECONDS
        assert (await client.get("/live")).status_code == 401


CHILD = """
import asyncio, sys
from pathlib import Path
from netpulse.storage import users
from netpulse.storage.opening import open_database
from tests.conftest import VAULT

async def main(data, user_id):
    db = await open_database(Path(data), VAULT)
    await db.write(users.set_active, user_id, False, 1)
    await db.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_it_ends_when_another_process_takes_the_right_away(
    running: tuple[Stage, str],
) -> None:
    stage, base = running
    alice, bob = Browser(stage, stage.cast.alice), Browser(stage, stage.cast.bob)
    await alice.sign_in()
    await bob.sign_in()
    async with alice.open(base) as hers, bob.open(base) as his:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(stage.data), stage.cast.alice.id, cwd=ROOT
        )
        assert await child.wait() == 0
        assert await seconds_until_it_ends(hers) < MOST_SECONDS
        await asyncio.sleep(0.1)
        assert len(stage.house.streams) == 1
        assert his.is_closed is False


async def test_a_quiet_evening_costs_one_question_a_second(
    open_stage: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without an engine, which writes down that it runs.
    stage = await open_stage(clock=ShiftedClock(0))
    asked: list[Id] = []
    identify = auth.identify

    async def counted(connection: Any) -> Any:
        found = await identify(connection)
        asked.append(found.user.id)
        return found

    monkeypatch.setattr(auth, "identify", counted)
    browser = Browser(stage, stage.cast.alice)
    await browser.sign_in()
    async with served(stage) as base, browser.open(base):
        await asyncio.sleep(2.5 * streams.ROUND_SECONDS)
        asked.clear()
        await asyncio.sleep(3.5 * streams.ROUND_SECONDS)
        assert asked == []
        await stage.house.db.write(meta.put, "test", b"x")
        await asyncio.sleep(streams.AGAIN_SECONDS + 1.5 * streams.ROUND_SECONDS)
        assert asked == [stage.cast.alice.id]


async def test_when_nobody_can_be_asked_all_of_them_end(
    running: tuple[Stage, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, base = running
    browser = Browser(stage, stage.cast.alice)
    await browser.sign_in()

    async def broken() -> int:
        raise of_status(500)

    async with browser.open(base) as response:
        monkeypatch.setattr(stage.house.db, "version", broken)
        assert await seconds_until_it_ends(response) < MOST_SECONDS
    await until_no_streams(stage)
    monkeypatch.undo()
    async with browser.open(base) as response:
        await browser.sign_out()
        assert await seconds_until_it_ends(response) < MOST_SECONDS, "watched again"


async def test_a_user_has_so_many_and_no_more(running: tuple[Stage, str]) -> None:
    stage, base = running
    browser, other = Browser(stage, stage.cast.alice), Browser(stage, stage.cast.bob)
    await browser.sign_in()
    await other.sign_in()
    async with AsyncExitStack() as stack:
        # All at once: each of them finds room when it is let in.
        responses = await asyncio.gather(
            *(stack.enter_async_context(browser.open(base)) for _ in range(streams.PER_USER + 10)),
            return_exceptions=True,
        )
        await asyncio.sleep(0.5)
        assert len(stage.house.streams) == streams.PER_USER
        assert len(responses) == streams.PER_USER + 10
        headers = {"Cookie": f"np_session={browser.token}"}
        async with httpx.AsyncClient(base_url=base, headers=headers) as client:
            refused = await client.get("/live")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
        assert refused.json()["error"]["message"] == "Too many open pages; close some"
        await stack.enter_async_context(other.open(base))


@pytest.mark.parametrize(
    "site", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}]
)
async def test_a_page_of_another_site_opens_none(
    running: tuple[Stage, str], site: dict[str, str]
) -> None:
    stage, base = running
    browser = Browser(stage, stage.cast.alice)
    await browser.sign_in()
    headers = {"Cookie": f"np_session={browser.token}", **site}
    async with httpx.AsyncClient(base_url=base, headers=headers) as client:
        answer = await client.get("/live")
    assert answer.status_code == 403
    assert len(stage.house.streams) == 0
