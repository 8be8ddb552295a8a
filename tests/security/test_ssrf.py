"""What may not be reached is not reached, from any way out there is and in any spelling.

An organization that may only reach public addresses tries all of them; the other one tries what
nobody may. Every connection that the process opens is watched: none goes to a forbidden address.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from msgspec import inspect
from msgspec.structs import replace

from netpulse.config import Config, Limits, Server
from netpulse.egress import resolver
from netpulse.egress.resolver import Address
from netpulse.egress.trouble import DialError
from netpulse.engine.clock import Clock
from netpulse.model.check import Failure
from netpulse.model.monitor import TYPES
from netpulse.rules import targets
from netpulse.storage.db import Conn
from netpulse.web.api.channel_configs import KINDS
from netpulse.web.rates import Rate
from netpulse.web.status import subscribing
from tests.api.test_channel_types import TYPES as CHANNELS
from tests.api.test_channel_types import put
from tests.api.test_monitors import fresh
from tests.asgi import Answer, ask
from tests.conftest import Opener, Stage

UNLIMITED = Config(limits=Limits(0, 0, 0, 0))
PORT = 9
PUBLIC = "93.184.216.34"
"""The one address that anybody may reach."""
NAMES = {
    "loopback.example": ["127.0.0.1"],
    "localhost": ["127.0.0.1", "::1"],
    "mixed.example": [PUBLIC, "127.0.0.1"],
    "six.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "inside.example": ["10.0.0.5"],
    "metadata.google.internal": ["169.254.169.254"],
    "instance-data": ["169.254.169.254"],
    "unspecified.example": ["0.0.0.0"],
    "cgnat.example": ["100.64.0.1"],
    "sixtofour.example": ["2002:7f00:1::"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "open.example": [PUBLIC],
}
"""Names that lead where nobody should go."""
HOSTS = [
    *(name for name in NAMES if name != "open.example"),
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "2130706433",
    "127.0.0.1.",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "１２７.0.0.1",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1:8000:63bf:f7f7:f7f7]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[::ffff:169.254.169.254]",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "100.64.0.1",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.0.8",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
]
"""Hosts, as somebody may write them."""
URLS = [
    *(f"http://{host}:{PORT}/" for host in HOSTS),
    f"http://public.example@127.0.0.1:{PORT}/",
    f"http://127.0.0.1:{PORT}#@public.example/",
    f"http://127.0.0.1:{PORT}\\@public.example/",
    f"http://127.0.0.1:{PORT}?@public.example/",
    f"http://public.example:{PORT}@127.0.0.1/",
    f"http:127.0.0.1:{PORT}/",
    f"http:///127.0.0.1:{PORT}/",
    f"http://127.0.0.1\t:{PORT}/",
    f"http://127.0.0.1%00.public.example:{PORT}/",
    f"http://127.0.0.1%2f.public.example:{PORT}/",
    f" http://127.0.0.1:{PORT}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:25/x",
    "dict://127.0.0.1:11211/stats",
    "ftp://127.0.0.1/",
    "jar:http://127.0.0.1!/",
    "data:text/plain,x",
    "//127.0.0.1/",
    "unix:/var/run/docker.sock",
]
ALWAYS = ["169.254.169.254", "[fd00:ec2::254]", "[fe80::1]", "0.0.0.0", "metadata.google.internal"]
"""What not even an organization without limits may reach."""


def test_the_table_is_long_enough() -> None:
    assert len(URLS) == len(set(URLS)) >= 60


class Watched:
    """Every address that anything in this process was about to connect or to send to; nothing gets
    there."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def forbidden(self) -> set[str]:
        """Return those that no stranger may be sent to: all but the public one of the table."""
        return set(self.addresses) - {PUBLIC}


WATCHING: list[Watched] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if WATCHING and event in {"socket.connect", "socket.sendto"}:
        address = arguments[-1]
        if isinstance(address, tuple):
            WATCHING[-1].addresses.append(str(address[0]))
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody goes out in this test")


# The interpreter itself tells of every connection, whoever opens it. A hook stays for good; it
# does nothing while nobody watches.
sys.addaudithook(_hook)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """Watch all sockets, and answer for the names of the table alone."""
    literal = resolver.Resolver.addresses

    async def named(self: Any, host: str, family: int, deadline: float) -> tuple[Address, ...]:
        known = NAMES.get(host.rstrip(".").lower())
        if known is not None:
            return tuple(
                Address(socket.AF_INET6 if ":" in text else socket.AF_INET, text) for text in known
            )
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise DialError(Failure.DNS, "nxdomain", f"the name {host} does not exist") from None
        return await literal(self, host, family, deadline)

    monkeypatch.setattr(resolver.Resolver, "addresses", named)
    WATCHING.append(Watched())
    yield WATCHING[-1]
    WATCHING.pop()


@pytest.fixture
async def strict(open_stage: Opener) -> tuple[Stage, dict[str, str]]:
    """A stage on which Acme may only reach public addresses, and Alice's headers."""
    stage = await open_stage(config=UNLIMITED, clock=Clock())

    def confine(conn: Conn) -> None:
        conn.execute(
            "UPDATE organizations SET parent_id = ?, private_targets = 0 WHERE id = ?",
            (stage.cast.globex.id, stage.cast.acme.id),
        )

    await stage.house.db.write(confine)
    stage.house.engine.org_changed(stage.cast.acme.id, private_targets=False)
    await stage.house.engine.permits.settled()
    return stage, await fresh(stage)


def sinks() -> list[tuple[str, str]]:
    """Return (type, field) of every address that a channel can be given."""
    found = []
    for word, kind in KINDS.items():
        info = inspect.type_info(kind.spec)
        assert isinstance(info, inspect.StructType)
        names = [field.encode_name for field in info.fields]
        found += [(word, name) for name in names if name == "url" or name.endswith("_url")]
    return [*found, ("email", "smtp.host")]


def test_every_channel_has_its_way_out() -> None:
    assert {word for word, _ in sinks()} == set(KINDS)


async def try_channel(
    stage: Stage, headers: dict[str, str], word: str, field: str, value: str
) -> Answer | None:
    """Make a channel that leads somewhere, and send a test; None where it is not taken."""
    config = CHANNELS.get(word, {"url": "", "secret": None})
    body = {"name": "c", "type": word, "config": put(config, field, value)}
    made = await ask(stage.app, "POST", "/v1/alert-channels", headers=headers, json_body=body)
    if made.status == 400:
        return None
    url = f"/v1/alert-channels/{made.data['id']}/test"
    return await ask(stage.app, "POST", url, headers=headers)


@pytest.mark.parametrize(("word", "field"), sinks())
async def test_channels(
    strict: tuple[Stage, dict[str, str]], watched: Watched, word: str, field: str
) -> None:
    stage, headers = strict
    tried = 0
    for value in HOSTS if field == "smtp.host" else URLS:
        answer = await try_channel(stage, headers, word, field, value)
        if answer is not None:
            tried += 1
            assert answer.data["ok"] is False, value
            assert watched.forbidden() == set(), value
    assert tried >= 8, "names are taken, and refused when they are dialled"
    # The way out itself is open.
    outside = "open.example" if field == "smtp.host" else f"http://open.example:{PORT}/"
    answer = await try_channel(stage, headers, word, field, outside)
    assert answer is not None
    assert set(watched.addresses) == {PUBLIC}


def monitors(value: str) -> list[dict[str, Any]]:
    """Return a monitor of each type that would go to a URL or a host of the table."""
    host = value.partition("://")[2].partition("/")[0].removesuffix(f":{PORT}")
    common = {"name": "m", "timeout_seconds": 1}
    return [
        common | {"type": "http", "target": value},
        common | {"type": "https", "target": value.replace("http:", "https:", 1)},
        common | {"type": "tcp", "target": f"{host}:{PORT}"},
        common | {"type": "ssl", "target": host, "port": PORT},
        common | {"type": "icmp", "target": host.strip("[]"), "packets": 1},
        common | {"type": "dns", "target": "x.example", "nameserver": f"{host}:{PORT}"},
    ]


def test_every_type_of_monitor_that_goes_out_is_tried() -> None:
    assert {each["type"] for each in monitors("http://x/")} == set(TYPES) - {"push"}


async def try_monitor(
    stage: Stage, headers: dict[str, str], spec: dict[str, Any]
) -> list[dict[str, Any]]:
    """Test a configuration, and store it and check it; return the checks that were made."""
    found = []
    tested = await ask(stage.app, "POST", "/v1/monitors/test", headers=headers, json_body=spec)
    if tested.status == 200:
        found.append(tested.data)
    made = await ask(stage.app, "POST", "/v1/monitors", headers=headers, json_body=spec)
    if made.status == 201:
        url = f"/v1/monitors/{made.data['id']}/check"
        found.append((await ask(stage.app, "POST", url, headers=headers)).data)
    assert {tested.status, made.status} <= {200, 201, 400}, tested.text
    return found


async def test_monitors(strict: tuple[Stage, dict[str, str]], watched: Watched) -> None:
    stage, headers = strict
    checks = 0
    for value in URLS:
        for spec in monitors(value):
            for check in await try_monitor(stage, headers, spec):
                checks += 1
                assert check["status"] in {"down", "inconclusive"}, (spec, check)
                assert watched.forbidden() == set(), spec
                # Where it may not go, it does not tell the way either.
                assert "127.0.0.1" not in str(check.get("addresses", "")), check
    assert checks >= 100
    for spec in monitors(f"http://open.example:{PORT}/"):
        await try_monitor(stage, headers, spec)
    assert set(watched.addresses) == {PUBLIC}


async def test_webhooks_of_strangers(
    open_stage: Opener, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who subscribes to a status page names an address too: it is held to public ones, even where
    the page's own organization may reach its network."""
    monkeypatch.setattr(subscribing, "ANSWER_SECONDS", 0.0)
    public_url = Server(public_url="https://netpulse.example")
    stage = await open_stage(config=replace(UNLIMITED, server=public_url), clock=Clock())
    stage.house.rates.subscriptions = Rate(0)
    alice = stage.client(headers=await fresh(stage))
    page = {"slug": "acme", "title": "Acme"}
    assert (await alice.post("/v1/status-pages", json=page)).status_code == 201
    stranger = stage.client()
    taken = 0
    for value in [*URLS, f"http://open.example:{PORT}/"]:
        assert watched.forbidden() == set(), value
        data = {"kind": "webhook", "address": value}
        answer = await stranger.post("/status/acme/subscribe", data=data)
        assert answer.status_code in {200, 400}, value
        taken += answer.status_code == 200
        await stage.house.engine.page_webhooks.turn()
    assert taken >= 8, "names are taken, and refused when they are dialled"
    assert set(watched.addresses) == {PUBLIC}


async def test_what_nobody_may_reach(open_stage: Opener, watched: Watched) -> None:
    """An organization without limits reaches its own network, and still no cloud's secrets."""
    stage = await open_stage(config=UNLIMITED, clock=Clock())
    headers = await fresh(stage)
    for host in ALWAYS:
        for word, field in sinks():
            value = host if field == "smtp.host" else f"http://{host}:{PORT}/"
            answer = await try_channel(stage, headers, word, field, value)
            assert answer is None or answer.data["ok"] is False
        for spec in monitors(f"http://{host}:{PORT}/"):
            for check in await try_monitor(stage, headers, spec):
                assert check["status"] in {"down", "inconclusive"}
    assert watched.addresses == []
    for spec in monitors(f"http://127.0.0.1:{PORT}/"):
        await try_monitor(stage, headers, spec)
    assert set(watched.addresses) == {"127.0.0.1"}


@pytest.mark.parametrize("value", URLS)
def test_what_is_checked_is_what_is_dialled(value: str) -> None:
    """There is one reading of a URL: what it is stored as reads as the same again, and no other
    reader finds another host in it."""
    try:
        read = targets.url(value.strip())
    except targets.TargetError:
        return
    again = targets.url(str(read))
    assert (again.host, again.port, again.scheme) == (read.host, read.port, read.scheme)
    parts = urlsplit(str(read))
    assert (parts.hostname or "").strip("[]") == (read.host or "").lower()
    assert parts.port in {None, read.port}
    assert httpx.URL(str(read)).host.strip("[]") == (read.host or "").lower()
