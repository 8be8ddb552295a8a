"""A large organization with a quarter behind it: what bench/pages.py measures the pages on.

Written by the product's own functions before it starts: outages by its rules through the same
transaction that the engine uses, checks into the store of raw results. Nothing is dialled.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import structs

from netpulse.crypto import keys, passwords
from netpulse.crypto.vault import Vault
from netpulse.model.alert import Rule
from netpulse.model.channel import Channel, WebhookConfig
from netpulse.model.check import Check, Failure, Result, Timings, round_latency
from netpulse.model.edge import Edge
from netpulse.model.ids import Id, new_id
from netpulse.model.monitor import HttpSpec, IcmpSpec, Monitor, MonitorSpec, TcpSpec
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis
from netpulse.model.user import Actor
from netpulse.model.watch import Gap, UnknownReason, Watch
from netpulse.rules import incidents as rules
from netpulse.rules.schedule import next_slot, phase_ms
from netpulse.storage import alert_rules, channels, directory, edges, monitors, rollups, runs
from netpulse.storage.conn import Conn
from netpulse.storage.db import Database
from netpulse.storage.opening import open_database
from netpulse.storage.raw import Raw
from netpulse.storage.raw.figures import HourFigures
from netpulse.storage.rollups import Rollup
from netpulse.web import accounts

EMAIL, PASSWORD = "bench@example.com", "a long bench passphrase"
AGE = 90 * DAY
AT_ONCE = 250
"""Monitors that are written in one transaction."""
OFTEN = 60
"""Seconds between the checks of the one with all the results; with fewer its chart has no shape."""
GROUPS, TAGS = 40, 25
TROUBLED = 5
"""One in so many had outages in the quarter, and one in ten of those is down still."""


async def build(
    data: Path,
    count: int,
    *,
    port: int,
    interval: int,
    often: int = OFTEN,
    is_short: bool = False,
) -> Id:
    """Fill `data` with an organization of `count` monitors, and return the id of the one that has
    a check every `often` seconds for all of the quarter. Targets are at the loopback's `port`.
    `is_short` leaves out all raw results."""
    now = int(time.time() * SECOND)
    directory.prepare(data)
    master = keys.load_master(None, data / directory.KEY, has_data=False)
    hashed = await passwords.hash_password(PASSWORD)
    db = await open_database(data, Vault(master))
    raw = Raw(data)
    dice = random.Random(count)
    try:
        user, org = await db.write(
            accounts.found,
            email=EMAIL,
            password_hash=hashed,
            org_name="Example Provider",
            actor=Actor(kind="cli", label="netpulse user add"),
            now=now - AGE,
            first=True,
        )
        await db.write(_alerts, org.id, now - AGE)
        for days_ago in (80, 55, 20, 3):
            gap = Gap(
                now - days_ago * DAY, now - days_ago * DAY + 40 * SECOND, UnknownReason.STOPPED
            )
            await db.write(runs.add_gap, gap)
        first: Monitor | None = None
        for start in range(0, count, AT_ONCE):
            some = [
                Monitor(
                    id=new_id(now - AGE + number),
                    key=0,
                    org_id=org.id,
                    spec=_spec(number, port, interval if number else often),
                    created_by=user.id,
                    created_at=now - AGE,
                )
                for number in range(start, min(count, start + AT_ONCE))
            ]
            stored = await db.write(_live, some, now, dice)
            first = first or stored[0]
            if not is_short:
                raw.append([(each.key, _check(each, _slot(each, now), dice)) for each in stored])
                await raw.flush()
        assert first is not None, "there is at least one"
        if is_short:
            return first.id
        step = often * SECOND
        at = next_slot(now - AGE, step, phase_ms(first.id, step))
        checks = []
        while at < now - HOUR:
            checks.append((first.key, _check(first, at, dice)))
            at += step
        for start in range(0, len(checks), 1_000):
            raw.append(checks[start : start + 1_000])
            await raw.flush()
        await _seal(db, raw, first.key, now)
        return first.id
    finally:
        await raw.close()
        await db.close()


async def check_all(data: Path, at: Millis) -> None:
    """Give every monitor of a filled `data` a check at its last slot before `at`."""
    db = await open_database(
        data, Vault(keys.load_master(None, data / directory.KEY, has_data=True))
    )
    raw = Raw(data)
    dice = random.Random(at)
    try:
        for monitor, _ in await db.read(monitors.load_all):
            raw.append([(monitor.key, _check(monitor, _slot(monitor, at), dice))])
        await raw.flush()
        await raw.seal_due(int(time.time() * SECOND), _no_rollups)
    finally:
        await raw.close()
        await db.close()


async def _seal(db: Database, raw: Raw, key: int, now: Millis) -> None:
    """Seal all hours that are over, with the rollups of the one that has checks in all of them."""
    summed: list[Rollup] = []

    async def on_hour(hour: Millis, figures: Mapping[int, HourFigures]) -> None:
        if key in figures:
            # What the two have in common is named alike.
            found = structs.asdict(figures[key])
            known = {name: found[name] for name in found if name in Rollup.__struct_fields__}
            summed.append(Rollup(key=key, from_ms=hour, **known))

    await raw.seal_due(now, on_hour)
    for start in range(0, len(summed), 1_000):
        await db.write(rollups.put_hour, summed[start : start + 1_000])
    for day in range(now - AGE - now % DAY, now - now % DAY, DAY):
        await db.write(rollups.fold_days, day, [key])


async def _no_rollups(hour: Millis, figures: Mapping[int, HourFigures]) -> None:
    """They are not looked at."""


def _spec(number: int, port: int, interval: int) -> MonitorSpec:
    name = f"{('shop', 'api', 'mail', 'office', 'backup')[number % 5]} {number:05}"
    group = f"Customer {number % GROUPS:02}"
    tags = ("prod" if number % 3 else "test", f"team-{number % TAGS:02}")
    if number % 10 == 8:
        target = f"127.0.0.1:{port}"
        return TcpSpec(name=name, group=group, tags=tags, interval_seconds=interval, target=target)
    if number % 10 == 9:
        return IcmpSpec(
            name=name, group=group, tags=tags, interval_seconds=interval, target="127.0.0.1"
        )
    return HttpSpec(
        name=name,
        group=group,
        tags=tags,
        interval_seconds=interval,
        target=f"http://127.0.0.1:{port}/{number}",
    )


def _alerts(conn: Conn, org_id: Id, at: Millis) -> None:
    channel = channels.insert(
        conn,
        Channel(
            id=new_id(at),
            org_id=org_id,
            name="On call",
            type="webhook",
            config=WebhookConfig(url="http://127.0.0.1:9/", secret="whsec_" + "c2VjcmV0" * 4),
            is_active=False,
            created_at=at,
        ),
    )
    # By a tag, so that the pages have to find out whom it covers.
    alert_rules.insert(
        conn,
        Rule(
            id=new_id(at),
            org_id=org_id,
            name="Production is down",
            tag="prod",
            channel_id=channel.id,
            condition="down",
            created_at=at,
        ),
    )


def _live(conn: Conn, made: list[Monitor], now: Millis, dice: random.Random) -> list[Monitor]:
    """Store monitors and let them live through the quarter, by the product's rules."""
    stored = []
    for draft in made:
        monitor = monitors.insert(conn, draft)
        stored.append(monitor)
        story: list[tuple[Millis, Result]] = [(monitor.created_at + SECOND, Result.UP)]
        if dice.randrange(TROUBLED) == 0:
            begun = sorted(dice.randrange(HOUR, AGE - HOUR) for _ in range(3))
            for ago in reversed(begun):
                story.append((now - ago, Result.DOWN))
                story.append((now - ago + dice.randrange(MINUTE, HOUR // 2), Result.UP))
            if dice.randrange(10) == 0:
                story.append((now - 20 * MINUTE, Result.DOWN))
        watch = Watch(since=monitor.created_at)
        for at, result in story:
            for attempt in range(monitor.spec.confirmations if result is Result.DOWN else 1):
                check = _check(monitor, at + attempt * 10 * SECOND, dice, result)
                watch, flip = rules.step(monitor.spec, watch, check, now=check.started_at + 100)
                outcome = edges.record(conn, Edge(monitor=monitor, watch=watch, flip=flip))
                watch = outcome.watch or watch
    return stored


def _slot(monitor: Monitor, now: Millis) -> Millis:
    """Return the monitor's last slot before now."""
    interval = monitor.spec.interval_seconds * SECOND
    return next_slot(now - interval, interval, phase_ms(monitor.id, interval))


def _check(monitor: Monitor, at: Millis, dice: random.Random, result: Result = Result.UP) -> Check:
    total = 40.0 * dice.lognormvariate(0, 0.8)
    is_down = result is Result.DOWN
    return Check(
        due_at=at,
        started_at=at,
        result=result,
        status_code=200 if isinstance(monitor.spec, HttpSpec) and not is_down else None,
        failure=Failure.REFUSED if is_down else None,
        message="connection refused" if is_down else None,
        response_time_ms=None if is_down else round(total),
        timings=Timings()
        if is_down
        else Timings(
            dns_ms=round_latency(total * 0.05),
            connect_ms=round_latency(total * 0.2),
            first_byte_ms=round_latency(total * 0.7),
            total_ms=round_latency(total),
        ),
    )
