"""A whole house for API tests: real storage in a temporary directory, the real application, and
clients that speak to it over ASGI.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from litestar import Litestar

from netpulse.channels.carrier import carrier_of
from netpulse.config import Config, Secrets, Server, Smtp
from netpulse.crypto.links import Links
from netpulse.crypto.lost import LostDigester, LostLinks, LostVault
from netpulse.crypto.vault import Vault
from netpulse.egress.connect import Egress
from netpulse.engine.clock import Clock
from netpulse.engine.engine import Engine
from netpulse.model.ids import Id
from netpulse.model.letter import Letter
from netpulse.rules.addresses import AddressPolicy
from netpulse.storage import directory, letters
from netpulse.storage.db import Database
from netpulse.storage.opening import open_database
from netpulse.storage.raw import Raw
from netpulse.web import denials, pages
from netpulse.web.house import House
from netpulse.web.rates import Rates
from netpulse.web.server import build_app, route_all
from netpulse.web.setup_token import SetupToken
from tests.cast import DIGESTER, SIGNER, Cast
from tests.clock import START, FakeClock

# A machine that stalls makes one example take longer than Hypothesis allows it, or the first ones
# take long to draw; neither says anything of what is tried. All else is as it was, on top of what
# Hypothesis chooses by itself where a machine builds.
settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")

VAULT = Vault(bytes(range(32)))
BASE = "http://netpulse.example"
WITH_MAIL = Config(
    server=Server(public_url="https://netpulse.example"),
    smtp=Smtp(host="mail.example", sender="NetPulse <netpulse@example.com>"),
)
"""A configuration with which letters are written. Nothing is sent before the engine starts."""


_routed: list[Litestar] = []
"""All routes, of stages that are over: to make them takes longer than most tests."""


class Stage:
    """A house with its application, its people and clients to speak to it."""

    def __init__(self, house: House, cast: Cast, data: Path) -> None:
        self.house = house
        self.cast = cast
        self.data = data
        self._routed = _routed.pop() if _routed else route_all(pages.error_page)
        self.app = build_app(house, pages.error_page, self._routed)
        self._clients: list[httpx.AsyncClient] = []

    def client(self, ip: str = "192.0.2.10", base: str = BASE, **options: Any) -> httpx.AsyncClient:
        """Return a client that comes from `ip` and keeps cookies."""
        transport = httpx.ASGITransport(self.app, client=(ip, 40_000))  # type: ignore[arg-type]  # the same protocol
        made = httpx.AsyncClient(transport=transport, base_url=base, **options)
        self._clients.append(made)
        return made

    async def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            await client.aclose()
        _routed.append(self._routed)

    async def audit(self, org_id: Id) -> list[tuple[str, str | None, str]]:
        """Return (action, user id, actor's label) of the organization's audit rows, in order."""
        return [(row[0], row[1], row[2]) for row in await self._audited(org_id)]

    async def actions(self, org_id: Id) -> list[str]:
        """Return the actions of the organization's audit rows, in order."""
        return [row[0] for row in await self._audited(org_id)]

    async def payloads(self, org_id: Id) -> list[Any]:
        """Return the audit rows' payloads, in order."""
        return [msgspec.json.decode(row[3]) for row in await self._audited(org_id)]

    async def _audited(self, org_id: Id) -> list[Any]:
        """Return the rows of what was done; what was refused is looked at by its own tests."""
        return await self.house.db.read(
            lambda conn: conn.all(
                "SELECT action, user_id, actor_label, payload FROM audit_logs"
                " WHERE org_id = ? AND action <> ? ORDER BY seq",
                (org_id, denials.ACTION),
            )
        )

    async def letters(self) -> list[Letter]:
        """Return the letters that wait to be sent, in order."""
        return await self.house.db.read(letters.due, self.house.clock.now(), 1_000)

    async def outbox(self) -> list[tuple[str, str]]:
        """Return (event, status) of all notices, in order."""
        rows = await self.house.db.read(
            lambda conn: conn.all("SELECT event, status FROM alert_events ORDER BY seq")
        )
        return [(row[0], row[1]) for row in rows]


Opener = Callable[..., Awaitable[Stage]]


async def _prepare(data: Path, cast: Cast | None) -> None:
    directory.prepare(data)
    db = await open_database(data, VAULT)
    if cast is not None:
        await db.write(cast.enter, START)
    await db.close()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Cast]:
    """A data directory without users, one with the cast, and the cast: made once, then copied."""
    empty = tmp_path_factory.mktemp("prepared") / "empty"
    peopled = empty.with_name("peopled")
    cast = Cast(START)
    asyncio.run(_prepare(empty, None))
    asyncio.run(_prepare(peopled, cast))
    return empty, peopled, cast


@pytest.fixture
async def open_stage(tmp_path: Path, prepared: tuple[Path, Path, Cast]) -> AsyncIterator[Opener]:
    """Open a stage: `await open_stage(people=True, config=..., clock=..., start=False)`. With
    `keyless` it is one over data whose encryption key is not here."""
    empty, peopled, cast = prepared
    async with AsyncExitStack() as stack:

        async def opened(
            *,
            people: bool = True,
            config: Config | None = None,
            clock: Clock | None = None,
            start: bool = False,
            data: Path | None = None,
            nameservers: tuple[str, ...] = (),
            strangers: AddressPolicy | None = None,
            keyless: bool = False,
        ) -> Stage:
            if data is None:
                data = tmp_path / "data"
                shutil.copytree(peopled if people else empty, data)
                data.chmod(0o700)
            clock = clock or FakeClock()
            vault = LostVault("the encryption key is missing") if keyless else VAULT
            db: Database = await open_database(data, vault)
            stack.push_async_callback(db.close)
            raw = Raw(data, now=clock.now)
            stack.push_async_callback(raw.close)
            egress = Egress(nameservers=nameservers)
            stack.push_async_callback(egress.close)
            config = config or Config()
            carrier = carrier_of(config, Secrets(), egress)
            public_url = config.server.public_url
            links = LostLinks(public_url) if keyless else Links(bytes(32), public_url)
            engine = Engine(
                db,
                raw,
                egress,
                clock,
                version="test",
                at_once=50,
                carrier=carrier,
                links=links,
                strangers=strangers,
            )
            stack.push_async_callback(_still, engine)
            house = House(
                config=config,
                db=db,
                raw=raw,
                engine=engine,
                egress=egress,
                carrier=carrier,
                links=links,
                clock=clock,
                signer=SIGNER,
                digester=LostDigester() if keyless else DIGESTER,
                sign_ins=DIGESTER,
                setup_token=SetupToken.open(data / "setup-token", needed=not people),
                version="0.0.test",
                rates=Rates((config or Config()).limits),
            )
            if start:
                await engine.start()
            stage = Stage(house, cast, data)
            stack.push_async_callback(stage.close)
            return stage

        yield opened


async def _still(engine: Engine) -> None:
    await engine.settled()
    if engine.started_at is not None:
        await engine.stop()


@pytest.fixture
async def house(open_stage: Opener) -> Stage:
    """A stage with the cast on it; time stands still and nothing is checked."""
    return await open_stage()


@pytest.fixture
def alice(house: Stage) -> httpx.AsyncClient:
    """Alice's client: an admin of Acme."""
    return house.client(headers=house.cast.alice.headers)


@pytest.fixture
def bob(house: Stage) -> httpx.AsyncClient:
    """Bob's client: a viewer of Acme."""
    return house.client(headers=house.cast.bob.headers)


@pytest.fixture
def charlie(house: Stage) -> httpx.AsyncClient:
    """Charlie's client: an admin of Globex, who must see nothing of Acme's."""
    return house.client(headers=house.cast.charlie.headers)
