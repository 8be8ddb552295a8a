"""A filled NetPulse to look at: targets on loopback that fail and recover, and a past of 90 days.

    make demo            or    python -m demo [--data DIR] [--port PORT]

Everything is on this machine and in one directory. Ctrl-C ends it; started again it goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from demo.company import (
    OWNER,
    PAGE,
    PAGES,
    PASSWORD,
    PORTS,
    RECORDS,
    VIEWER,
    clients,
    company,
)
from demo.filling import fill
from demo.rhythm import Mood, Part, Rhythm
from demo.targets import HERE, Authority, Targets

ROOT = Path(__file__).resolve().parent.parent
NOTE = "demo.json"
"""In the data directory: that it is a demo's, and which ports its monitors look at."""
MAIL, NOTICES = "mail", "notices"
"""Beside it: where mail goes, and what the other channels deliver."""
FOREIGN = ("NETPULSE_", "ENCRYPTION_KEY", "JWT_SECRET", "SMTP_", "TWILIO_", "NEXT_PUBLIC_APP_URL")
"""Settings of another instance in the environment, which must not reach this one."""
PATIENCE = 60.0
"""Seconds that the start may take on a busy machine."""


class Note(Struct, kw_only=True):
    """What the demo keeps about itself."""

    ports: dict[str, int]
    is_whole: bool = False
    """False while it is being filled: one that was broken off is made anew."""


class CannotStart(Exception):
    """The demo cannot start; the text says why, and what to do."""


def main() -> int:
    """Start it, and run until it is told to stop. Exit status: 0 stopped on request, else 1."""
    options = argparse.ArgumentParser(prog="make demo", description=__doc__, add_help=True)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--data", type=Path, default=Path("demo-data"), metavar="DIR")
    options.add_argument("--port", type=int, default=8088, help="of the pages (8088)")
    given = options.parse_args()
    os.umask(0o077)
    try:
        return asyncio.run(run(given.data, given.port))
    except CannotStart as why:
        print(f"demo: {why}", file=sys.stderr)
        return 1


async def run(data: Path, port: int) -> int:
    """Run the demo in the directory `data`, its pages on `port` or a free one."""
    began = time.monotonic()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    note = _kept(data)
    moved: dict[int, int] = {}
    if note is None:
        note = Note(ports=dict(zip(PORTS, _free(len(PORTS)), strict=True)))
        _begin(data, note)
        print("Filling an instance with 90 days …", flush=True)
        authority = Authority(data)
        await fill(data / "netpulse", note.ports, authority.pem)
    else:
        authority = Authority(data)
        moved = _moved(note)
    if stopping.is_set():
        return 0
    stage = Stage(note.ports, data / NOTICES)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(stage.targets.close)
        await stage.open(authority, data / MAIL)
        chosen = port if _is_free(port) else _free(1)[0]
        server = await _serve(data / "netpulse", chosen, note.ports["post"])
        stack.push_async_callback(_end, server)
        ended = asyncio.create_task(server.wait(), name="the server ends")
        stopped = asyncio.create_task(stopping.wait(), name="somebody stops it")
        base = f"http://{HERE}:{chosen}"
        async with aiohttp.ClientSession(base) as web:
            await _answering(web, server)
            driver = Driver(web)
            await driver.sign_in()
            for old, new in moved.items():
                await driver.move(old, new)
            if not note.is_whole:
                await driver.finish()
            note.is_whole = True
            _keep(data, note)
            stage.begin()
            _announce(base, port, data, time.monotonic() - began)
            addresses = await driver.jobs()
            await driver.sign_out()
            pings = asyncio.create_task(driver.ping(stage, addresses), name="jobs that ping")
            await asyncio.wait({ended, stopped, pings}, return_when=asyncio.FIRST_COMPLETED)
            pings.cancel()
            await asyncio.gather(pings, return_exceptions=True)
        stopped.cancel()
        if not stopping.is_set():
            print("demo: NetPulse has ended by itself; what it said is above", file=sys.stderr)
            return 1
        print("\nThe demo has ended; `make demo` goes on where it was.", flush=True)
    return 0


class Stage:
    """The targets, each with its part of the piece."""

    def __init__(self, ports: dict[str, int], notices: Path) -> None:
        """Take the ports and where deliveries go; nobody listens before `open`."""
        self._ports = ports
        rhythms: dict[str, Rhythm] = {"sink": Rhythm(mood=Mood.BROKEN, lasts=(60, 200))}
        everybody = company(ports, "")
        for client in clients(ports):
            everybody += client.watched
        for watched in everybody:
            # Two monitors may look at one target; whoever has a rhythm says how it goes.
            if watched.at not in rhythms or watched.rhythm != Rhythm():
                rhythms[watched.at] = watched.rhythm
        # What needs the database is broken while that is away.
        rhythms.pop("erp", None)
        self._parts = {name: Part(name, rhythm) for name, rhythm in rhythms.items()}
        self._began: float | None = None
        self.targets = Targets(PAGES, self.mood, RECORDS, notices)

    def begin(self) -> None:
        """Play from here on; until then the beginning lasts."""
        self._began = time.monotonic()

    def mood(self, name: str) -> Mood:
        """Return what a target does just now."""
        if name == "erp":
            return Mood.WELL if self.mood("database") is Mood.WELL else Mood.BROKEN
        if name not in self._parts:
            return Mood.WELL
        return self._parts[name].mood(time.monotonic() - self._began if self._began else 0.0)

    async def open(self, authority: Authority, mail: Path) -> None:
        """Listen.

        Raises:
            CannotStart: a port was taken meanwhile.
        """
        ports = self._ports
        targets = self.targets
        try:
            await targets.web(ports["web"])
            await targets.web(ports["portal"], authority.serving("portal.localhost", 9))
            await targets.web(ports["wiki"], authority.serving("wiki.localhost", 61))
            await targets.names(ports["names"])
            await targets.post(ports["post"], mail)
            await targets.port("database", ports["database"], "", None)
            await targets.port("relay", ports["relay"], "220 mail.localhost ready\r\n", None)
            await targets.port("tills", ports["tills"], "", None)
        except OSError as error:
            raise CannotStart(f"{error}; start it again") from error


class Driver:
    """What is done to the instance from outside, as its owner."""

    def __init__(self, web: aiohttp.ClientSession) -> None:
        """Take a client of the instance's address."""
        self._web = web
        self._token = ""

    async def sign_in(self) -> None:
        """Get a token; it is good for a quarter of an hour."""
        sent = {"email": OWNER, "password": PASSWORD}
        self._token = (await self._call("POST", "/v1/auth/login", sent))["access_token"]

    async def _call(self, method: str, path: str, body: Any = None, org: str = "") -> Any:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if org:
            headers["X-Org-Id"] = org
        async with self._web.request(method, path, json=body, headers=headers) as answer:
            # Our own instance: its answers end.
            found = json.loads(await answer.content.read(4 * 1024 * 1024))
            if answer.status not in {200, 201}:
                raise CannotStart(f"{method} {path} answered {answer.status}: {found}")
            return found["data"]

    async def finish(self) -> None:
        """Make what only a running instance makes: a key, an invitation, badges."""
        key = {"name": "Wall display in the hall", "scopes": ["monitors:read", "incidents:read"]}
        await self._call("POST", "/v1/api-keys", key)
        invited = {"email": "dan@example.com", "role": "viewer"}
        await self._call("POST", "/v1/org/members/invite", invited)
        shop = (await self._call("GET", "/v1/monitors?q=front+page"))[0]
        await self._call("PUT", f"/v1/monitors/{shop['id']}/badges", {})

    async def move(self, old: int, new: int) -> None:
        """Have all monitors look at another port than before."""
        spaces = [""] + [one["id"] for one in await self._call("GET", "/v1/org/clients")]
        for org in spaces:
            for spec in await self._call("GET", "/v1/monitors?limit=100", org=org):
                changed = json.loads(json.dumps(spec).replace(f":{old}", f":{new}"))
                if spec.get("port") == old:
                    changed["port"] = new
                if changed != spec:
                    await self._call("PUT", f"/v1/monitors/{spec['id']}", changed, org)

    async def jobs(self) -> dict[str, str]:
        """Return where the jobs ping, by their names."""
        listed = await self._call("GET", "/v1/monitors?type=push&limit=100")
        return {one["name"]: "/ping/" + one["ping_url"].rpartition("/")[2] for one in listed}

    async def sign_out(self) -> None:
        """Leave no session behind."""
        await self._call("POST", "/v1/auth/logout")
        self._token = ""

    async def ping(self, stage: Stage, address: dict[str, str]) -> None:
        """Ping for the jobs at their addresses, as long as they are well."""
        await self._ping(address["Nightly backup"])
        hours = 0.0
        while True:
            if stage.mood("invoices") is Mood.WELL:
                await self._ping(address["Invoice run"])
            await asyncio.sleep(45)
            hours += 45 / 3600
            if hours >= 1:
                hours = 0.0
                await self._ping(address["Nightly backup"])

    async def _ping(self, path: str) -> None:
        with contextlib.suppress(aiohttp.ClientError):
            async with self._web.post(path, data="done\n"):
                pass


def _kept(data: Path) -> Note | None:
    """Return what is known of the demo in `data`; None: there is none, and one may be made.

    Raises:
        CannotStart: something else is there.
    """
    path = data / NOTE
    if not path.exists():
        if data.exists() and any(data.iterdir()):
            raise CannotStart(
                f"{data} is not empty and no demo's; name another directory: --data DIR"
            )
        if data.exists():
            data.rmdir()
        return None
    note = msgspec.json.decode(path.read_bytes(), type=Note)
    if note.is_whole:
        return note
    shutil.rmtree(data)
    return None


def _begin(data: Path, note: Note) -> None:
    data.mkdir(mode=0o700, parents=True)
    _keep(data, note)


def _keep(data: Path, note: Note) -> None:
    new = data / f"{NOTE}.new"
    new.write_bytes(msgspec.json.encode(note))
    new.replace(data / NOTE)


def _moved(note: Note) -> dict[int, int]:
    """Choose other ports in place of those that somebody has taken since, and return them."""
    moved = {}
    for name, port in note.ports.items():
        if not _is_free(port):
            moved[port] = note.ports[name] = _free(1)[0]
    return moved


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HERE, port))
            except OSError:
                return False
    return True


def _free(count: int) -> list[int]:
    """Return ports nobody listens on just now."""
    with contextlib.ExitStack() as stack:
        return [_bound(stack) for _ in range(count)]


def _bound(stack: contextlib.ExitStack) -> int:
    probe = stack.enter_context(socket.socket())
    probe.bind((HERE, 0))
    return int(probe.getsockname()[1])


def _environment() -> Iterator[tuple[str, str]]:
    for name, value in os.environ.items():
        if not name.startswith((*FOREIGN, "DATABASE_URL", "REDIS_URL")):
            yield name, value


async def _serve(data: Path, port: int, post: int) -> asyncio.subprocess.Process:
    """Start NetPulse. What it has to say of importance comes on standard error."""
    command = ["-m", "netpulse", "serve", "--data", str(data), "--host", HERE, "--port", str(port)]
    settings = {
        "NETPULSE_LOG_LEVEL": "warning",
        "NETPULSE_SERVER_PUBLIC_URL": f"http://{HERE}:{port}",
        "NETPULSE_SMTP_HOST": HERE,
        "NETPULSE_SMTP_PORT": str(post),
        "NETPULSE_SMTP_SECURITY": "none",
        "NETPULSE_SMTP_FROM": "netpulse@example.com",
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        env=dict(_environment()) | settings,
        # Ctrl-C reaches the whole terminal; it is ended in its turn.
        start_new_session=True,
    )


async def _answering(web: aiohttp.ClientSession, server: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        if server.returncode is not None:
            raise CannotStart("NetPulse did not start; what it said is above")
        with contextlib.suppress(aiohttp.ClientError):
            async with web.get("/healthz"):
                return
        if time.monotonic() > deadline:
            raise CannotStart(f"NetPulse does not answer within {PATIENCE:.0f} s")
        await asyncio.sleep(0.05)


async def _end(server: asyncio.subprocess.Process) -> None:
    if server.returncode is None:
        server.terminate()
        try:
            await asyncio.wait_for(server.wait(), 15)
        except TimeoutError:
            server.kill()
            await server.wait()


def _announce(base: str, port: int, data: Path, took: float) -> None:
    taken = "" if base.endswith(f":{port}") else f" (port {port} is taken)"
    print(
        f"""
NetPulse demo, ready after {took:.0f} s{taken}
  Open         {base}
  Sign in      {OWNER}
  Password     {PASSWORD}
  As a viewer  {VIEWER}, the same password
  Status page  {base}/status/{PAGE}
  Delivered    mail and notices lie in {data / MAIL} and {data / NOTICES}
  Data         {data}; delete it to begin anew

Targets on this machine fail and recover by themselves: the first one in some seconds.
For looking, not for production: everybody who reads this knows the passwords.
Ctrl-C ends it.""",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
