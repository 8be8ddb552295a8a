"""A main file in a temporary directory, and the people and things that storage tests put in it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from netpulse.crypto.keys import Masters
from netpulse.crypto.vault import Vault
from netpulse.model.alert import Rule
from netpulse.model.channel import Channel, WebhookConfig
from netpulse.model.check import Check, Failure, Result
from netpulse.model.ids import Id, new_id
from netpulse.model.monitor import HttpSpec, Monitor, MonitorSpec
from netpulse.model.org import Org
from netpulse.model.time import MINUTE, SECOND, Millis
from netpulse.model.user import Actor, Membership, Role, User
from netpulse.model.watch import Status
from netpulse.storage import (
    alert_rules,
    channels,
    directory,
    incident_list,
    monitor_list,
    monitors,
    orgs,
    users,
)
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.incident_list import IncidentFilter
from netpulse.storage.monitor_list import MonitorFilter
from netpulse.storage.opening import open_database

NOW: Millis = 1_790_000_000_000
MASTER = bytes(range(32))
CLI = Actor(kind="cli", label="netpulse user add")


@asynccontextmanager
async def opened(data: Path, master: bytes = MASTER) -> AsyncIterator[Database]:
    """Open the main file of `data`, made where it is missing, and close it at the end."""
    directory.prepare(data)
    db = await open_database(data, Vault(master))
    try:
        yield db
    finally:
        await db.close()


async def play(data: Path, act: Callable[[Conn], None]) -> None:
    """Run one act in a transaction over a new main file in `data`."""
    async with opened(data) as db:
        await db.write(act)


async def enter(data: Path, specs: Sequence[MonitorSpec]) -> None:
    """Write monitors into the data of an instance that is off, for its first organization: many
    are there sooner than by its API."""
    masters = Masters(None, data / directory.KEY)
    db = await open_database(data, Vault.of(masters, has_data=True))

    def write(conn: Conn) -> None:
        org = orgs.all(conn)[0]
        for one in specs:
            add_monitor(conn, org.id, one, at=time.time_ns() // 1_000_000)

    await db.write(write)
    await db.close()


def add_org(conn: Conn, name: str = "Acme", at: Millis = NOW) -> Org:
    """Add an organization."""
    org_id = new_id(at)
    return orgs.insert(
        conn, Org(id=org_id, name=name, slug=f"{name.lower()}-{org_id[-6:]}", created_at=at)
    )


def add_user(conn: Conn, org_id: Id, email: str, role: Role = Role.ADMIN) -> User:
    """Add a user with one membership."""
    user = User(id=new_id(NOW), email=email, password_hash="$", home_org_id=org_id, created_at=NOW)
    return users.insert(conn, user, [Membership(user_id=user.id, org_id=org_id, role=role)])


def add_monitor(
    conn: Conn, org_id: Id, spec: MonitorSpec | None = None, at: Millis = NOW
) -> Monitor:
    """Add a monitor: Shop, an http one, unless told otherwise."""
    spec = HttpSpec(name="Shop", target="https://shop.example/") if spec is None else spec
    return monitors.insert(
        conn, Monitor(id=new_id(at), key=0, org_id=org_id, spec=spec, created_at=at)
    )


def add_channel(conn: Conn, org_id: Id, name: str = "Ops", *, is_active: bool = True) -> Channel:
    """Add a webhook channel."""
    return channels.insert(
        conn,
        Channel(
            id=new_id(NOW),
            org_id=org_id,
            name=name,
            type="webhook",
            config=WebhookConfig(url="https://hooks.example/T0PSECRET", secret="whsec_c2VjcmV0"),
            is_active=is_active,
            created_at=NOW,
        ),
    )


def add_rule(
    conn: Conn,
    org_id: Id,
    channel_id: Id,
    condition: str = "down",
    *,
    monitor_id: Id | None = None,
    tag: str | None = None,
    cooldown_seconds: int = 300,
    notify_recovery: bool = True,
    is_active: bool = True,
    at: Millis = NOW,
) -> Rule:
    """Add a rule."""
    return alert_rules.insert(
        conn,
        Rule(
            id=new_id(at),
            org_id=org_id,
            name=f"tell {condition}",
            is_active=is_active,
            monitor_id=monitor_id,
            tag=tag,
            channel_id=channel_id,
            condition=condition,
            cooldown_seconds=cooldown_seconds,
            notify_recovery=notify_recovery,
            created_at=at,
        ),
    )


def check(result: Result, at: Millis) -> Check:
    """Return a check that started at `at`."""
    down = result is Result.DOWN
    return Check(
        due_at=at,
        started_at=at,
        result=result,
        response_time_ms=None if down else 12,
        failure=Failure.REFUSED if down else None,
        message="connection refused by 192.0.2.7:443" if down else None,
    )


__all__ = [
    "CLI",
    "MASTER",
    "MINUTE",
    "NOW",
    "SECOND",
    "add_channel",
    "add_monitor",
    "add_org",
    "add_rule",
    "add_user",
    "check",
    "opened",
]


def open_incidents(conn: Conn, org_id: Id) -> int:
    """Return how many incidents of an organization are open."""
    return incident_list.page(conn, org_id, IncidentFilter(is_open=True)).total


def status_counts(conn: Conn, org_id: Id) -> dict[Status, int]:
    """Return how many monitors are shown in each state."""
    found = monitor_list.page(conn, org_id, MonitorFilter(), limit=1_000)
    return dict(Counter(row.shown.status for row in found.rows))
