"""Who the demo is about: Example Works, what it watches, for itself and for two clients.

Of each monitor it is said what befell it in the last 90 days, and how its target goes on.
"""

from __future__ import annotations

import random
from typing import Any

from msgspec import Struct

from demo.rhythm import SEED, Mood, Rhythm, Stretch
from demo.targets import Page
from netpulse.model.check import Failure, Result
from netpulse.model.monitor import (
    BearerAuth,
    DnsSpec,
    HttpSpec,
    HttpsSpec,
    IcmpSpec,
    MonitorSpec,
    PushSpec,
    SslSpec,
    TcpSpec,
)
from netpulse.model.time import DAY, HOUR, MINUTE, Millis

ORGANIZATION = "Example Works"
OWNER, COLLEAGUE, VIEWER = "demo@example.com", "carol@example.com", "viewer@example.com"
PASSWORD = "a look around the demo"  # noqa: S105  # of an instance on loopback, for looking
PAGE, CLOSED_PAGE = "example-works", "warehouse"
PAGE_PASSWORD = "open the warehouse"  # noqa: S105  # the same
AGE = 96 * DAY
"""How long the organization has been there."""
PORTS = ("web", "portal", "wiki", "database", "relay", "tills", "names", "post", "nobody")
"""What listens on a port of its own; nobody listens on the last one."""


class Trouble(Struct, frozen=True):
    """A stretch in which a monitor was not well: `ago` before now, for `lasted` (None: still)."""

    ago: Millis
    lasted: Millis | None
    result: Result
    failure: Failure | None
    message: str
    status_code: int | None = None
    told: tuple[tuple[Millis, str, str], ...] = ()
    """What people did about it: (after its beginning, "acknowledged" or a status, their words)."""
    cause: str | None = None
    """The root cause that somebody wrote down in the end."""


class Watched(Struct, frozen=True, kw_only=True):
    """A monitor, its target's name, how long its answers take, what befell it, how it goes on."""

    spec: MonitorSpec
    at: str
    usual_ms: float = 40.0
    troubles: tuple[Trouble, ...] = ()
    rhythm: Rhythm = Rhythm()
    paused: bool = False


class Client(Struct, frozen=True):
    """A client of the company, with what is watched there."""

    name: str
    plan: str
    quota: int
    watched: list[Watched]


PAGES = {
    "shop": Page(body="<title>Example Works</title><h1>Welcome</h1>\n", usual_ms=62),
    "checkout": Page(usual_ms=74),
    "search": Page(usual_ms=120),
    "accounts": Page(usual_ms=41, broken=500),
    "pictures": Page(usual_ms=18),
    "orders": Page(
        body='{"queue": {"state": "running", "waiting": 4}}\n',
        wrong='{"queue": {"state": "stalled", "waiting": 913}}\n',
        usual_ms=33,
    ),
    "news": Page(usual_ms=51),
    "portal": Page(usual_ms=58),
    "wiki": Page(usual_ms=95),
    "erp": Page(usual_ms=140, broken=502),
    "parcels": Page(usual_ms=160),
    "stock": Page(usual_ms=85, broken=401),
    "partners": Page(usual_ms=66),
    "old": Page(),
    "bakery": Page(usual_ms=70),
    "cakes": Page(usual_ms=110),
    "dentist": Page(usual_ms=48),
    "booking": Page(usual_ms=92, broken=500),
}
RECORDS = {
    "shop.example A": ["192.0.2.10", "192.0.2.11"],
    "shop.example MX": ["10 mail.shop.example.", "20 backup.shop.example."],
    "bakery.example A": ["192.0.2.40"],
}

_503 = "status 503, expected 200-299"
_SILENT = "no answer within 3 s: connected after 2 ms, waiting for the first byte"


def _down(
    ago: Millis,
    lasted: Millis | None,
    message: str = _503,
    failure: Failure = Failure.STATUS,
    code: int | None = None,
    **more: Any,
) -> Trouble:
    if failure is Failure.STATUS:
        code = int(message.split()[1].rstrip(","))
    return Trouble(ago, lasted, Result.DOWN, failure, message, code, **more)


def _silent(ago: Millis, lasted: Millis | None) -> Trouble:
    return _down(ago, lasted, _SILENT, Failure.TIMEOUT)


def _slow(ago: Millis, lasted: Millis | None, after: int = 500) -> Trouble:
    message = f"answered in 1140 ms, more than {after} ms"
    return Trouble(ago, lasted, Result.DEGRADED, None, message, 200)


def _now_and_then(name: str, count: int, message: str, failure: Failure) -> tuple[Trouble, ...]:
    """Return some short outages, spread over the quarter; the same ones at each asking."""
    dice = random.Random(f"{SEED}/{name}/past")
    found = []
    for _ in range(count):
        ago = dice.randrange(2 * DAY, 88 * DAY)
        found.append(_down(ago, dice.randrange(2 * MINUTE, 35 * MINUTE), message, failure))
    return tuple(found)


def _often(mood: Mood, minutes: tuple[float, float], seconds: tuple[float, float]) -> Rhythm:
    return Rhythm(mood=mood, quiet=(minutes[0] * 60, minutes[1] * 60), lasts=seconds)


def company(ports: dict[str, int], authority: str) -> list[Watched]:
    """Return what the company watches; `authority` is the root of its certificates (PEM)."""

    def web(name: str, at: str, group: str, *tags: str, **more: Any) -> HttpSpec:
        target = f"http://{at}.localhost:{ports['web']}{more.pop('path', '/')}"
        spec = {"interval_seconds": 60, "timeout_seconds": 3, "retry_interval_seconds": 5} | more
        return HttpSpec(name=name, target=target, group=group, tags=tags, **spec)

    def refused(port: str) -> tuple[str, Failure]:
        return f"connection refused by 127.0.0.1:{ports[port]}", Failure.REFUSED

    names = f"127.0.0.1:{ports['names']}"
    return [
        Watched(
            spec=web("Checkout", "checkout", "Shop", "prod", "payment", interval_seconds=20),
            at="checkout",
            usual_ms=74,
            troubles=(
                _down(
                    71 * DAY + 5 * HOUR,
                    38 * MINUTE,
                    told=(
                        (3 * MINUTE, "acknowledged", COLLEAGUE),
                        (
                            9 * MINUTE,
                            "identified",
                            "The payment provider refuses our requests since its update.",
                        ),
                        (31 * MINUTE, "monitoring", "The provider has taken its update back."),
                    ),
                    cause="The payment provider changed its certificate without a word; we pin it.",
                ),
                _silent(9 * DAY + 2 * HOUR, 4 * MINUTE),
                _down(
                    17 * MINUTE,
                    None,
                    told=(
                        (4 * MINUTE, "acknowledged", COLLEAGUE),
                        (
                            11 * MINUTE,
                            "identified",
                            "The payment provider rejects our key; a new one is on its way.",
                        ),
                    ),
                ),
            ),
            rhythm=Rhythm(
                mood=Mood.BROKEN,
                quiet=(900, 1800),
                lasts=(90, 240),
                opening=(Stretch(0, 1500, Mood.BROKEN),),
            ),
        ),
        Watched(
            spec=web(
                "Shop front page",
                "shop",
                "Shop",
                "prod",
                interval_seconds=20,
                degraded_after_ms=800,
                body_match="Welcome",
                description="What customers see first. The shop's people are on call until 22:00.",
                runbook_url="https://wiki.example.com/runbooks/shop",
            ),
            at="shop",
            usual_ms=62,
            troubles=(
                _silent(52 * DAY + 3 * HOUR, 41 * MINUTE),
                _slow(51 * DAY, 90 * MINUTE, 800),
                _down(11 * HOUR + 20 * MINUTE, 7 * MINUTE),
            ),
            rhythm=_often(Mood.SLOW, (12, 25), (60, 150)),
        ),
        Watched(
            spec=web("Search", "search", "Shop", "prod", degraded_after_ms=500),
            at="search",
            usual_ms=120,
            troubles=(
                _slow(33 * DAY, 3 * HOUR),
                _slow(32 * DAY, 2 * HOUR),
                _slow(2 * HOUR + 12 * MINUTE, None),
            ),
            rhythm=Rhythm(
                mood=Mood.SLOW,
                quiet=(1200, 2400),
                lasts=(120, 300),
                opening=(Stretch(0, 2400, Mood.SLOW),),
            ),
        ),
        Watched(
            spec=web(
                "Sign-in",
                "accounts",
                "Shop",
                "prod",
                path="/healthz",
                interval_seconds=10,
                confirmations=1,
                description="Flaps: a few short failures in a row, every quarter of an hour or so.",
            ),
            at="accounts",
            usual_ms=41,
            troubles=(
                _down(23 * DAY + 6 * HOUR, 12 * MINUTE, "status 500, expected 200-299"),
                *_now_and_then("accounts", 5, "status 500, expected 200-299", Failure.STATUS),
            ),
            rhythm=Rhythm(mood=Mood.BROKEN, quiet=(600, 1100), lasts=(16, 30), times=4),
        ),
        Watched(
            spec=web(
                "Order queue",
                "orders",
                "Shop",
                "prod",
                json_path="$.queue.state",
                json_value="running",
                interval_seconds=30,
            ),
            at="orders",
            usual_ms=33,
            troubles=_now_and_then(
                "orders",
                3,
                '$.queue.state is "stalled", expected "running"',
                Failure.BODY,
            ),
            rhythm=_often(Mood.WRONG, (18, 40), (60, 150)),
        ),
        Watched(spec=web("Product pictures", "pictures", "Shop", "prod"), at="pictures"),
        Watched(
            spec=web(
                "Newsletter sign-up",
                "news",
                "Shop",
                "marketing",
                body_not_match="maintenance",
                interval_seconds=10,
                description="Fails some seconds after each start of the demo, for a minute.",
            ),
            at="news",
            usual_ms=51,
            troubles=_now_and_then(
                "news",
                2,
                'body contains "maintenance"',
                Failure.BODY,
            ),
            rhythm=Rhythm(
                mood=Mood.WRONG,
                quiet=(1500, 3000),
                lasts=(60, 120),
                opening=(Stretch(12, 80, Mood.WRONG),),
            ),
        ),
        Watched(spec=web("Old shop", "old", "Shop"), at="old", paused=True),
        Watched(
            spec=HttpsSpec(
                name="Customer portal",
                target=f"https://portal.localhost:{ports['portal']}/",
                group="Office",
                tags=("prod",),
                ca_certificate=authority,
                alert_days_before_expiry=7,
                timeout_seconds=3,
            ),
            at="portal",
            usual_ms=58,
            troubles=_now_and_then("portal", 1, _SILENT, Failure.TIMEOUT),
        ),
        Watched(
            spec=SslSpec(
                name="Certificate of the portal",
                target="portal.localhost",
                port=ports["portal"],
                group="Office",
                tags=("prod",),
                ca_certificate=authority,
                alert_days_before_expiry=14,
                interval_seconds=120,
                timeout_seconds=5,
            ),
            at="portal",
            usual_ms=6,
            troubles=(
                Trouble(
                    5 * DAY,
                    None,
                    Result.DEGRADED,
                    None,
                    "certificate for portal.localhost expires in 9 days (limit 14)",
                ),
            ),
        ),
        Watched(
            spec=HttpsSpec(
                name="Wiki",
                target=f"https://wiki.localhost:{ports['wiki']}/",
                group="Office",
                tags=("internal",),
                ca_certificate=authority,
                timeout_seconds=3,
            ),
            at="wiki",
            usual_ms=95,
            troubles=(_down(64 * DAY, 9 * HOUR, *refused("wiki")),),
            rhythm=_often(Mood.SLOW, (20, 50), (60, 120)),
        ),
        Watched(
            spec=TcpSpec(
                name="Orders database",
                target=f"db.localhost:{ports['database']}",
                group="Office",
                tags=("prod", "database"),
                interval_seconds=20,
                retry_interval_seconds=5,
                timeout_seconds=3,
            ),
            at="database",
            usual_ms=3.2,
            troubles=(_down(23 * DAY + 6 * HOUR, 11 * MINUTE, *refused("database")),),
            rhythm=_often(Mood.AWAY, (14, 30), (60, 140)),
        ),
        Watched(
            spec=web("Stock keeping", "erp", "Office", "internal", retry_interval_seconds=10),
            at="erp",
            usual_ms=140,
            troubles=(_down(23 * DAY + 6 * HOUR, 12 * MINUTE, "status 502, expected 200-299"),),
        ),
        Watched(
            spec=TcpSpec(
                name="Mail relay",
                target=f"mail.localhost:{ports['relay']}",
                group="Office",
                tags=("prod", "mail"),
                expect="220",
                timeout_seconds=3,
            ),
            at="relay",
            usual_ms=3.4,
            troubles=_now_and_then("relay", 2, *refused("relay")),
            rhythm=_often(Mood.SILENT, (40, 80), (90, 200)),
        ),
        Watched(
            spec=TcpSpec(
                name="Admin port stays closed",
                target=f"127.0.0.1:{ports['nobody']}",
                group="Office",
                tags=("security",),
                invert=True,
                timeout_seconds=3,
                description="Inverted: nobody may answer here from outside.",
            ),
            at="nobody",
        ),
        Watched(
            spec=IcmpSpec(
                name="Office router",
                target="127.0.0.1",
                group="Network",
                tags=("network",),
                timeout_seconds=3,
            ),
            at="router",
            usual_ms=0.3,
        ),
        Watched(
            spec=DnsSpec(
                name="Addresses of the shop",
                target="shop.example",
                nameserver=names,
                expected_value=("192.0.2.10", "192.0.2.11"),
                group="Network",
                tags=("network", "prod"),
                interval_seconds=30,
                timeout_seconds=3,
            ),
            at="names",
            usual_ms=2.9,
            troubles=_now_and_then(
                "names",
                2,
                "the A of shop.example is 192.0.2.66, expected all of 192.0.2.10, 192.0.2.11",
                Failure.MISMATCH,
            ),
            rhythm=_often(Mood.WRONG, (25, 60), (60, 120)),
        ),
        Watched(
            spec=DnsSpec(
                name="Mail servers of the shop",
                target="shop.example",
                nameserver=names,
                record_type="MX",
                group="Network",
                tags=("network", "mail"),
                timeout_seconds=3,
            ),
            at="names",
            usual_ms=2.8,
        ),
        Watched(
            spec=PushSpec(
                name="Nightly backup",
                target="backup.sh on db1",
                group="Jobs",
                tags=("jobs",),
                cron="0 3 * * *",
                timezone="Europe/Berlin",
                grace_seconds=10_800,
            ),
            at="backup",
            troubles=(_down(38 * DAY, 5 * HOUR, "the job says that it failed", Failure.REFUSED),),
        ),
        Watched(
            spec=PushSpec(
                name="Invoice run",
                target="invoices, every minute",
                group="Jobs",
                tags=("jobs", "payment"),
                interval_seconds=60,
                grace_seconds=30,
            ),
            at="invoices",
            troubles=_now_and_then(
                "invoices", 3, "no ping for 1 min 30 s; one was due every minute", Failure.MISSED
            ),
            rhythm=_often(Mood.AWAY, (20, 45), (120, 260)),
        ),
        Watched(
            spec=web("Parcel tracking", "parcels", "Delivery", "partner", degraded_after_ms=900),
            at="parcels",
            usual_ms=160,
            troubles=_now_and_then("parcels", 6, _SILENT, Failure.TIMEOUT),
            rhythm=_often(Mood.SILENT, (10, 30), (60, 180)),
        ),
        Watched(
            spec=web(
                "Stock feed",
                "stock",
                "Delivery",
                "partner",
                auth=BearerAuth(token="stock-feed-of-the-demo"),  # noqa: S106  # guards nothing
            ),
            at="stock",
            usual_ms=85,
            troubles=_now_and_then("stock", 2, "status 401, expected 200-299", Failure.STATUS),
            rhythm=_often(Mood.BROKEN, (30, 60), (60, 120)),
        ),
        Watched(
            spec=web("Partner API", "partners", "Delivery", "partner", "prod", path="/v2/health"),
            at="partners",
            usual_ms=66,
            troubles=_now_and_then("partners", 3, _503, Failure.STATUS),
        ),
    ]


PARENTS = {"Stock keeping": "Orders database"}
"""Who depends on whom: while the second is down nobody is told of the first."""


def clients(ports: dict[str, int]) -> list[Client]:
    """Return the company's clients."""

    def web(name: str, at: str, *tags: str, **more: Any) -> HttpSpec:
        target = f"http://{at}.localhost:{ports['web']}/"
        return HttpSpec(name=name, target=target, tags=tags, timeout_seconds=3, **more)

    refused = f"connection refused by 127.0.0.1:{ports['tills']}"
    return [
        Client(
            "Bluebell Bakery",
            "small",
            10,
            [
                Watched(spec=web("Website", "bakery", "web"), at="bakery", usual_ms=70),
                Watched(
                    spec=web("Cake orders", "cakes", "web", degraded_after_ms=900),
                    at="cakes",
                    usual_ms=110,
                    troubles=_now_and_then("cakes", 4, _503, Failure.STATUS),
                    rhythm=_often(Mood.BROKEN, (15, 40), (60, 150)),
                ),
                Watched(
                    spec=TcpSpec(
                        name="Tills",
                        target=f"tills.localhost:{ports['tills']}",
                        tags=("shop",),
                        timeout_seconds=3,
                        interval_seconds=30,
                    ),
                    at="tills",
                    usual_ms=3.1,
                    troubles=(
                        *_now_and_then("tills", 2, refused, Failure.REFUSED),
                        _down(6 * MINUTE, None, refused, Failure.REFUSED),
                    ),
                    rhythm=Rhythm(
                        mood=Mood.AWAY,
                        quiet=(1200, 3000),
                        lasts=(90, 200),
                        opening=(Stretch(0, 1100, Mood.AWAY),),
                    ),
                ),
                Watched(
                    spec=DnsSpec(
                        name="Domain",
                        target="bakery.example",
                        nameserver=f"127.0.0.1:{ports['names']}",
                        timeout_seconds=3,
                    ),
                    at="names",
                    usual_ms=2.8,
                ),
            ],
        ),
        Client(
            "Harbour Dental",
            "practice",
            25,
            [
                Watched(spec=web("Website", "dentist", "web"), at="dentist", usual_ms=48),
                Watched(
                    spec=web("Appointments", "booking", "web"),
                    at="booking",
                    usual_ms=92,
                    troubles=_now_and_then(
                        "booking", 2, "status 500, expected 200-299", Failure.STATUS
                    ),
                    rhythm=_often(Mood.BROKEN, (25, 60), (60, 150)),
                ),
                Watched(
                    spec=IcmpSpec(name="Practice router", target="127.0.0.1", timeout_seconds=3),
                    at="router",
                    usual_ms=0.4,
                ),
            ],
        ),
    ]
