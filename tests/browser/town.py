"""A small company's instance with some weeks behind it: what the pictures in the handbook show.

Everything is written by the product's own functions, before it starts: the outages by its rules
through the same transaction that the engine uses, the checks into the store of raw results.
"""

from __future__ import annotations

import math
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from msgspec import Struct

from netpulse.crypto import keys, passwords
from netpulse.crypto.vault import Vault
from netpulse.model.alert import Attempt, Rule
from netpulse.model.channel import Channel, WebhookConfig
from netpulse.model.check import Check, Failure, Result, Timings, round_latency
from netpulse.model.edge import Edge, Outcome
from netpulse.model.ids import Id, new_id
from netpulse.model.monitor import HttpSpec, Monitor, MonitorSpec, TcpSpec
from netpulse.model.time import DAY, HOUR, MINUTE, SECOND, Millis
from netpulse.model.user import Actor
from netpulse.model.watch import Gap, UnknownReason, Watch
from netpulse.rules import incidents as rules
from netpulse.rules.schedule import next_slot, phase_ms
from netpulse.storage import alert_rules, channels, directory, edges, monitors, runs, settling
from netpulse.storage.conn import Conn
from netpulse.storage.opening import open_database
from netpulse.storage.raw import Raw
from netpulse.web import accounts
from tests.instance import EMAIL, PASSWORD

AGE = 130 * DAY
RAW_SINCE = 26 * HOUR
"""How far back single checks go: the chart shows a day."""


class Servers:
    """What is watched: web servers that answer, dawdle and fail by path, and an open port."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/search":
                    time.sleep(0.85)
                status = 503 if self.path == "/api/checkout" else 200
                time.sleep(random.uniform(0.04, 0.08))
                self.send_response(status)
                self.send_header("Content-Length", "3")
                self.end_headers()
                self.wfile.write(b"ok\n")

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                self.do_GET()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A monitor of a port hangs up without a word; that is no error."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


class Trouble(Struct, frozen=True):
    """A stretch in which a monitor was not well: `ago` before now, for `lasted` (None: still)."""

    ago: Millis
    lasted: Millis | None
    result: Result
    failure: Failure | None
    message: str
    status_code: int | None = None


WELL = Trouble(0, None, Result.UP, None, "")


class Watched(Struct, frozen=True):
    """A monitor, how long its answers take, and what befell it."""

    spec: MonitorSpec
    usual_ms: float = 60.0
    troubles: tuple[Trouble, ...] = ()


def _down(ago: Millis, lasted: Millis | None, message: str, failure: Failure) -> Trouble:
    code = 503 if failure is Failure.STATUS else None
    return Trouble(ago, lasted, Result.DOWN, failure, message, code)


def _slow(ago: Millis, lasted: Millis | None) -> Trouble:
    message = "answered in 874 ms, more than 500 ms"
    return Trouble(ago, lasted, Result.DEGRADED, None, message, 200)


def cast(port: int) -> list[Watched]:
    """Return what the company watches; `port` is where its servers listen."""

    def web(name: str, host: str, path: str, group: str, *tags: str, **more: Any) -> HttpSpec:
        target = f"http://{host}.localhost:{port}{path}"
        return HttpSpec(name=name, target=target, group=group, tags=tags, **more)

    def tcp(name: str, host: str, group: str, *tags: str) -> TcpSpec:
        return TcpSpec(name=name, target=f"{host}.localhost:{port}", group=group, tags=tags)

    unwell = "status 503, expected 200-299"
    timeout = "no answer within 10 s: connected after 12 ms, waiting for the first byte"
    refused = f"connection refused by 127.0.0.1:{port}"
    return [
        Watched(
            web("Checkout API", "shop", "/api/checkout", "Shop", "prod", "api"),
            74.0,
            (
                _down(71 * DAY + 5 * HOUR, 26 * MINUTE, unwell, Failure.STATUS),
                _down(9 * DAY + 2 * HOUR, 4 * MINUTE, timeout, Failure.TIMEOUT),
                _down(17 * MINUTE, None, unwell, Failure.STATUS),
            ),
        ),
        Watched(
            web("Search", "search", "/search", "Shop", "prod", degraded_after_ms=500),
            210.0,
            (
                _slow(33 * DAY, 3 * HOUR),
                _slow(32 * DAY, 2 * HOUR),
                _slow(2 * HOUR + 12 * MINUTE, None),
            ),
        ),
        Watched(
            web(
                "Shop front page",
                "shop",
                "/",
                "Shop",
                "prod",
                degraded_after_ms=800,
                body_match="ok",
                description="What customers see first. The shop's people are on call until 22:00.",
                runbook_url="https://wiki.example.com/runbooks/shop",
            ),
            88.0,
            (
                _down(52 * DAY + 3 * HOUR, 41 * MINUTE, timeout, Failure.TIMEOUT),
                _slow(51 * DAY, 90 * MINUTE),
                _down(11 * HOUR + 20 * MINUTE, 7 * MINUTE, unwell, Failure.STATUS),
            ),
        ),
        Watched(
            web("Sign-in", "accounts", "/healthz", "Shop", "prod", "api"),
            41.0,
            (_down(23 * DAY + 6 * HOUR, 12 * MINUTE, unwell, Failure.STATUS),),
        ),
        Watched(web("Product pictures", "images", "/", "Shop", "prod"), 23.0),
        Watched(
            tcp("Orders database", "db", "Back office", "prod"),
            1.2,
            (_down(23 * DAY + 6 * HOUR, 11 * MINUTE, refused, Failure.REFUSED),),
        ),
        Watched(tcp("Mail relay", "mail", "Back office"), 2.1),
        Watched(
            web("Wiki", "wiki", "/", "Back office", "internal"),
            130.0,
            (_down(64 * DAY, 9 * HOUR, refused, Failure.REFUSED),),
        ),
        Watched(web("Old shop", "old", "/", "Shop"), 50.0),
    ]


async def build(data: Path, servers: Servers, hook: str) -> None:
    """Fill the data directory `data`; alerts go to `hook`."""
    now = int(time.time() * SECOND)
    directory.prepare(data)
    master = keys.load_master(None, data / directory.KEY, has_data=False)
    hashed = await passwords.hash_password(PASSWORD)
    db = await open_database(data, Vault(master))
    raw = Raw(data)
    try:
        user, org = await db.write(
            accounts.found,
            email=EMAIL,
            password_hash=hashed,
            org_name="Example Outfitters",
            actor=Actor(kind="cli", label="netpulse user add"),
            now=now - AGE,
            first=True,
        )
        await db.write(_alerts, org.id, hook, now - AGE)
        gap = Gap(now - 41 * DAY, now - 41 * DAY + 3 * HOUR, UnknownReason.STOPPED)
        await db.write(runs.add_gap, gap)
        lives: list[tuple[Monitor, tuple[Trouble, ...]]] = []
        old_shop = ""
        for number, watched in enumerate(cast(servers.port)):
            at = now - AGE + number * MINUTE
            made = Monitor(
                id=new_id(at),
                key=0,
                org_id=org.id,
                spec=watched.spec,
                created_by=user.id,
                created_at=at,
            )
            monitor = await db.write(monitors.insert, made)
            lives.append((monitor, watched.troubles))
            if watched.spec.name == "Old shop":
                old_shop = monitor.id
            else:
                raw.append([(monitor.key, check) for check in _checks(monitor, watched, now)])
                await raw.flush()
        await db.write(_live, lives, now)
        await db.write(edges.pause, org.id, old_shop, now - 20 * DAY)
    finally:
        await raw.close()
        await db.close()


def _alerts(conn: Conn, org_id: Id, hook: str, at: Millis) -> None:
    ids = []
    for name, path in (("On call", "on-call"), ("Shop team chat", "chat")):
        config = WebhookConfig(url=f"{hook}/{path}", secret="whsec_" + "c2VjcmV0" * 4)
        channel = Channel(
            id=new_id(at), org_id=org_id, name=name, type="webhook", config=config, created_at=at
        )
        ids.append(channels.insert(conn, channel).id)
    for name, channel_id, condition, tag in (
        ("Anything is down", ids[0], "down", None),
        ("Production is slow or down", ids[1], "down or degraded", "prod"),
        ("NetPulse itself", ids[0], "system", None),
    ):
        rule = Rule(
            id=new_id(at),
            org_id=org_id,
            name=name,
            tag=tag,
            channel_id=channel_id,
            condition=condition,
            created_at=at,
        )
        alert_rules.insert(conn, rule)


def _live(conn: Conn, lives: list[tuple[Monitor, tuple[Trouble, ...]]], now: Millis) -> None:
    """Let the monitors live through their troubles in the order of time, by the product's rules."""
    story: list[tuple[Millis, int, Trouble]] = []
    for number, (monitor, troubles) in enumerate(lives):
        story.append((monitor.created_at + SECOND, number, WELL))
        for trouble in troubles:
            story.append((now - trouble.ago, number, trouble))
            if trouble.lasted is not None:
                story.append((now - trouble.ago + trouble.lasted, number, WELL))
    watches = [Watch(since=monitor.created_at) for monitor, _ in lives]
    for at, number, state in sorted(story, key=lambda scene: scene[:2]):
        monitor = lives[number][0]
        needed = 1 if state is WELL else monitor.spec.confirmations
        for attempt in range(needed):
            check = _check(monitor, at + attempt * 10 * SECOND, state, None)
            decided = check.started_at + 90
            watch, flip = rules.step(monitor.spec, watches[number], check, now=decided)
            outcome = edges.record(conn, Edge(monitor=monitor, watch=watch, flip=flip))
            watches[number] = outcome.watch or watch
            _tell(conn, outcome, decided)


def _tell(conn: Conn, outcome: Outcome, at: Millis) -> None:
    for notice_id in outcome.notice_ids:
        attempt = Attempt(at=at + 140, ok=True, status_code=200, answer="ok", latency_ms=61)
        settling.sent(conn, notice_id, attempt, at + 140)


def _checks(monitor: Monitor, watched: Watched, now: Millis) -> list[Check]:
    """Return the checks of the last day, on the monitor's own grid."""
    dice = random.Random(monitor.spec.name)
    interval = monitor.spec.interval_seconds * SECOND
    phase = phase_ms(monitor.id, interval)
    found = []
    at = next_slot(now - RAW_SINCE, interval, phase)
    while at < now:
        # Busier by day, and now and then a hiccup.
        wave = 1 + 0.25 * math.sin(at / DAY * 2 * math.pi)
        hiccup = dice.uniform(1.8, 3.2) if dice.random() < 0.012 else 1.0
        took = watched.usual_ms * wave * hiccup * dice.lognormvariate(0, 0.09)
        state = next((each for each in watched.troubles if _during(each, at, now)), None)
        found.append(_check(monitor, at, state, took))
        at += interval
    return found


def _during(trouble: Trouble, at: Millis, now: Millis) -> bool:
    begun = now - trouble.ago
    return begun <= at and (trouble.lasted is None or at < begun + trouble.lasted)


def _check(monitor: Monitor, at: Millis, state: Trouble | None, took: float | None) -> Check:
    if state is not None and state.result is Result.DOWN:
        return Check(
            due_at=at,
            started_at=at,
            result=Result.DOWN,
            status_code=state.status_code,
            failure=state.failure,
            message=state.message,
            response_time_ms=61 if state.status_code else None,
        )
    slow = state is not None and state.result is Result.DEGRADED
    total = 874.0 if slow else took or 60.0
    connect = min(9.0, total * 0.12)
    timings = Timings(
        dns_ms=round_latency(total * 0.02),
        connect_ms=round_latency(connect),
        first_byte_ms=round_latency(total * 0.98 - connect),
        total_ms=round_latency(total),
    )
    return Check(
        due_at=at,
        started_at=at,
        result=Result.DEGRADED if slow else Result.UP,
        status_code=200 if isinstance(monitor.spec, HttpSpec) else None,
        response_time_ms=round(total),
        message=state.message if slow and state is not None else None,
        timings=timings,
    )
