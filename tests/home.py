"""An engine over a real data directory, for tests: the parts that `app` joins, without the web."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from netpulse.channels import Carrier, Mail
from netpulse.crypto.vault import Vault
from netpulse.egress.connect import Egress
from netpulse.engine.clock import Clock
from netpulse.engine.engine import Engine
from netpulse.model.alert import Rule
from netpulse.model.channel import Channel, WebhookConfig
from netpulse.model.ids import Id, new_id
from netpulse.model.monitor import HttpSpec, Monitor, MonitorSpec
from netpulse.model.org import Org
from netpulse.model.time import Millis
from netpulse.model.watch import Status
from netpulse.rules.outbox import Backoff
from netpulse.storage import alert_rules, channels, directory, monitors, orgs
from netpulse.storage.db import Conn, Database
from netpulse.storage.opening import open_database
from netpulse.storage.raw import Raw

SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four..").decode()
VAULT = Vault(bytes(range(32)))
FAST = Backoff(first=0.2, longest=0.4)
"""Tests wait for real attempts, so these come quickly."""


def now() -> Millis:
    """Return the wall time."""
    return time.time_ns() // 1_000_000


def spec(target: str, **changes: object) -> HttpSpec:
    """Return a monitor of the shortest interval; tests do not wait for its slots, they nudge."""
    fields: dict[str, object] = {
        "name": "Shop",
        "target": target,
        "interval_seconds": 10,
        "timeout_seconds": 1,
        "confirmations": 2,
        "retry_interval_seconds": 1,
    }
    return HttpSpec(**(fields | changes))  # type: ignore[arg-type]


class Home:
    """A data directory with its parts open."""

    def __init__(self, db: Database, raw: Raw, egress: Egress, engine: Engine, org: Org) -> None:
        self.db = db
        self.raw = raw
        self.egress = egress
        self.engine = engine
        self.org = org

    async def monitor(self, what: MonitorSpec) -> Monitor:
        """Store a monitor and tell the engine, as the API does."""
        at = now()
        draft = Monitor(id=new_id(at), key=0, org_id=self.org.id, spec=what, created_at=at)
        stored = await self.db.write(monitors.insert, draft)
        if self.engine.started_at is not None:
            self.engine.changed(stored.id)
        return stored

    async def channel(self, url: str, **changes: object) -> Channel:
        """Store a webhook channel."""
        fields: dict[str, object] = {
            "id": new_id(now()),
            "org_id": self.org.id,
            "name": "Hook",
            "type": "webhook",
            "config": WebhookConfig(url=url, secret=SECRET),
            "created_at": now(),
        }
        return await self.db.write(channels.insert, Channel(**(fields | changes)))  # type: ignore[arg-type]

    async def rule(self, channel: Channel, **changes: object) -> Rule:
        """Store a rule that tells a channel of every monitor."""
        fields: dict[str, object] = {
            "id": new_id(now()),
            "org_id": self.org.id,
            "name": "Everything",
            "channel_id": channel.id,
            "condition": "down",
            "cooldown_seconds": 0,
            "created_at": now(),
        }
        return await self.db.write(alert_rules.insert, Rule(**(fields | changes)))  # type: ignore[arg-type]

    def nudge(self, monitor: Monitor) -> None:
        """Have a monitor checked at once, as a counted check off its grid."""
        self.engine.scheduler.soon(monitor.id, 0.0)

    async def until(self, look: Callable[[], Awaitable[bool]], what: str, seconds: float = 15):
        """Wait until `look` says yes."""
        deadline = time.monotonic() + seconds
        while not await look():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            await asyncio.sleep(0.02)

    async def until_status(self, monitor_id: Id, status: Status, seconds: float = 30) -> None:
        """Wait until the engine knows a monitor to be in a state."""

        async def look() -> bool:
            watch = self.engine.watch(monitor_id)
            return watch is not None and watch.status is status

        await self.until(look, f"{monitor_id} is {status.value}", seconds)


def _org(conn: Conn) -> Org:
    found = orgs.by_slug(conn, "acme")
    if found is not None:
        return found
    at = now()
    return orgs.insert(conn, Org(id=new_id(at), name="Acme", slug="acme", created_at=at))


@asynccontextmanager
async def home(
    data: Path,
    *,
    clock: Clock | None = None,
    start: bool = True,
    backoff: Backoff = FAST,
    at_once: int = 200,
    egress: Egress | None = None,
    mail: Mail | None = None,
) -> AsyncIterator[Home]:
    """Open a data directory, run an engine on it, and close both. `mail` is the installation's
    mail server."""
    directory.prepare(data)
    db = await open_database(data, VAULT)
    raw = Raw(data)
    egress = egress or Egress()
    engine = Engine(
        db,
        raw,
        egress,
        clock,
        version="test",
        backoff=backoff,
        at_once=at_once,
        carrier=Carrier(egress=egress, mail=mail),
    )
    opened = Home(db, raw, egress, engine, await db.write(_org))
    try:
        if start:
            await engine.start()
        yield opened
    finally:
        if engine.started_at is not None:
            await engine.stop()
        await raw.close()
        await db.close()
        await egress.close()
