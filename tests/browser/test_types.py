"""Every type of monitor as a person makes it: the form, "Test now", and its verdict afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chrome import Window
from tests.certificates import Authority
from tests.instance import EMAIL, PASSWORD, Instance, eventually
from tests.nameserver import NameServer, can_ping
from tests.servers import HttpServer, TcpServer, answer

BODY = b'{"status": "ok", "<b>": "\x1b[31m"}\n'
"""What the web servers say; the second half must not act on any page."""
PATIENCE = 20_000
"""Milliseconds to wait for what another process does; a busy machine takes some seconds."""
READ = '{"status": "ok", "<b>": "\\x1b[31m"}'


SAVED = re.compile(r"/monitors/([0-9a-f]{8}-[0-9a-f-]{27})")


class Targets:
    """A server of each kind, on a loop of their own: the browser's calls block."""

    def __init__(self) -> None:
        self.authority = Authority()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()])
        self._thread.start()
        assert self._ready.wait(20), "the targets do not start"

    async def _serve(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            enter = stack.enter_async_context
            self.http = await enter(HttpServer(answer(200, body=BODY)))
            tls = self.authority.complete()
            self.https = await enter(HttpServer(answer(200, body=BODY), tls=tls, name="localhost"))
            self.tcp = await enter(TcpServer(b"220 mail.example ready\r\n"))
            self.ssl = await enter(TcpServer(tls=self.authority.complete()))
            zone = {"shop.example": {"A": ["192.0.2.1", "192.0.2.2"]}}
            self.dns = await enter(NameServer(zone))
            self._ready.set()
            await self._over.wait()

    def close(self) -> None:
        """Stop them all."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)
        self._loop.close()


@dataclass
class Kind:
    """A type: what is entered, and what must be said of it."""

    name: str
    fields: Callable[[Targets], dict[str, str]]
    tested: dict[str, str] = field(default_factory=dict)
    """By selector within the test's result: a text that must be there."""
    facts: tuple[str, ...] = ()
    """On the monitor's page."""
    advanced: tuple[str, ...] = ()
    """Fields that are folded away at first."""
    charted: str = "Rest"
    """A part of the response time."""


CERTIFICATE = {
    "[data-chain] li >> nth=1": "Test Authority",
    "dl": "for localhost",
}
ADDRESS = {"[data-addresses]": "127.0.0.1 dialled"}

KINDS = (
    Kind(
        "http",
        lambda at: {"target": at.http.url("/"), "body_match": '"ok"'},
        ADDRESS | {"[data-body]": READ, "strong": "HTTP 200, answered in"},
        ("GET, redirects followed",),
        charted="First byte",
    ),
    Kind(
        "https",
        lambda at: {
            "target": at.https.url("/"),
            "ca_certificate": at.authority.pem,
            "alert_days_before_expiry": "7",
        },
        CERTIFICATE
        | {"[data-addresses]": "dialled", "[data-body]": READ, "dl >> nth=0": "TLSv1.3"},
        ("degraded under 7 days",),
        ("ca_certificate",),
        charted="TLS",
    ),
    Kind(
        "tcp",
        lambda at: {"target": f"127.0.0.1:{at.tcp.port}", "expect": "220"},
        ADDRESS | {"[data-body]": "220 mail.example ready"},
        ("“220” in the answer",),
        charted="Connect",
    ),
    Kind(
        "ssl",
        lambda at: {
            "target": "localhost",
            "port": str(at.ssl.port),
            "ca_certificate": at.authority.pem,
            "ssl_days": "7",
        },
        CERTIFICATE | {"[data-addresses]": "dialled"},
        ("degraded under 7 days", "SHA-256"),
        ("ca_certificate",),
        charted="TLS",
    ),
    Kind(
        "icmp",
        lambda _: {"target": "127.0.0.1", "packets": "2"},
        ADDRESS | {"[data-pings]": "2 of 2 came back, 0% lost"},
        ("down at 100%",),
        charted="",
    ),
    Kind(
        "dns",
        lambda at: {
            "target": "shop.example",
            "nameserver": at.dns.address,
            "expected_value": "192.0.2.2\n192.0.2.1",
        },
        {"[data-records]": "192.0.2.1", "dl": "Name server"},
        ("192.0.2.2, 192.0.2.1",),
        charted="DNS",
    ),
)


@pytest.fixture(scope="module")
def targets() -> Iterator[Targets]:
    found = Targets()
    yield found
    found.close()


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A NetPulse with an administrator and nothing else."""
    made = Instance(tmp_path_factory.mktemp("types") / "data")
    try:
        made.start()
        made.register()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def seen(browser: Browser, instance: Instance) -> Iterator[Window]:
    """A window in which the administrator is signed in."""
    opened = Window(browser)
    opened.sign_in(instance.base, EMAIL, PASSWORD)
    yield opened
    opened.close()


def fill(
    page: Page, base: str, kind: str, fields: dict[str, str], advanced: tuple[str, ...]
) -> None:
    page.goto(f"{base}/monitors/new")
    page.select_option("[name=type]", kind)
    page.fill("[name=name]", f"Our {kind}")
    if advanced:
        page.click("summary:has-text('Advanced')")
    for name, value in fields.items():
        page.fill(f"[name={name}]", value)


def save(page: Page) -> str:
    """Save the form and return the monitor's id."""
    page.click("button:has-text('Start watching')")
    page.wait_for_url(SAVED)
    found = SAVED.search(page.url)
    assert found is not None
    return found[1]


def see_verdict(
    page: Page, instance: Instance, monitor_id: str, chart: str = "#chart canvas"
) -> None:
    """Wait until the page says that the monitor is up, and load it with the check that said so."""
    expect(page.locator("main [data-live=status]").first).to_have_text("Up", timeout=PATIENCE)
    path = f"/v1/monitors/{monitor_id}/checks?status=up"
    eventually("the check is in the list", lambda: instance.ok("GET", path))
    page.reload()
    expect(page.locator("main [data-live=status]").first).to_have_text("Up")
    # One check, or two: the first slot of the grid may come soon after the check at once.
    expect(page.locator("#checks [data-status=up]").first).to_be_visible()
    assert page.locator("#checks [data-status=up]").count() <= 2
    expect(page.locator(chart)).to_be_visible(timeout=PATIENCE)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_a_type(instance: Instance, targets: Targets, seen: Window, kind: Kind) -> None:
    if kind.name == "icmp" and not can_ping(socket.AF_INET):
        pytest.skip("this machine lets nobody ping: run as root, or set net.ipv4.ping_group_range")
    page = seen.page
    fill(page, instance.base, kind.name, kind.fields(targets), kind.advanced)
    page.click("button[data-test]")
    result = page.locator("#test-result")
    expect(result.locator("[data-status]")).to_have_text("Up", timeout=PATIENCE)
    for selector, text in kind.tested.items():
        expect(result.locator(selector)).to_contain_text(text)
    expect(result.locator("[data-body]")).to_have_count(int("[data-body]" in kind.tested))
    expect(result.locator("b, script")).to_have_count(0)

    see_verdict(page, instance, save(page))
    expect(page.locator("h1")).to_have_text(f"Our {kind.name}")
    for fact in kind.facts:
        expect(page.locator("main")).to_contain_text(fact)
    if kind.charted:
        expect(page.locator("#chart .u-legend")).to_contain_text(kind.charted)
    else:
        expect(page.locator("#chart .u-legend")).to_have_count(0)
    assert seen.errors == []


def test_push(instance: Instance, seen: Window) -> None:
    page = seen.page
    fill(page, instance.base, "push", {"push_target": "backup on db1", "grace_seconds": "60"}, ())
    monitor_id = save(page)
    expect(page.locator("#checks")).to_contain_text("No ping has come yet")
    expect(page.locator("[data-live-state]")).to_have_text("Live", timeout=PATIENCE)
    address = page.locator("#ping-url").text_content()
    assert address is not None
    assert address.startswith(instance.base)
    assert instance.call("GET", address.removeprefix(instance.base))[0] == 200
    # A ping without a run time is nothing to draw.
    see_verdict(page, instance, monitor_id, "#chart .np-chart-note")
    expect(page.locator("#chart")).to_have_text("No figures for this time.")
    expect(page.locator("main")).to_contain_text("backup on db1")
    assert seen.errors == []
