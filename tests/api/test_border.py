"""The outermost layer: headers, who is asking, bodies, methods, and errors in the envelope."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from netpulse.config import Config, Metrics, Server
from netpulse.storage.errors import StorageTrouble, TroubleKind
from netpulse.web import border
from netpulse.web.proxies import bucket, networks, origin_of
from netpulse.web.server import build_app
from tests.asgi import ask
from tests.conftest import Opener, Stage

TRUSTED = networks(["10.0.0.0/8", "2001:db8:ffff::/48"])


def seen(peer: str, *headers: tuple[str, str], scheme: str = "http", trusted: Any = TRUSTED) -> Any:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return origin_of(peer, scheme, raw, trusted)


@pytest.mark.parametrize(
    ("peer", "forwarded", "ip"),
    [
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),  # a stranger's word
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),  # the left part is made up
        ("10.0.0.1", "198.51.100.1, 10.0.0.7", "198.51.100.1"),  # two proxies of ours
        ("10.0.0.1", "10.0.0.9, 10.0.0.7", "10.0.0.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "unknown, 10.0.0.7", "10.0.0.7"),
        ("10.0.0.1", "[2001:db8::5]:443", "2001:db8::5"),
        ("10.0.0.1", "198.51.100.1:555", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("2001:db8:ffff::1", "198.51.100.1", "198.51.100.1"),
        ("", "198.51.100.1", "198.51.100.1"),  # a unix socket: only a proxy is there
    ],
)
def test_the_rightmost_stranger(peer: str, forwarded: str, ip: str) -> None:
    assert seen(peer, ("x-forwarded-for", forwarded)).ip == ip


def test_scheme_and_host_from_trusted_proxies_only() -> None:
    headers = (
        ("host", "inner:8080"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "Status.Example"),
    )
    trusted, stranger = seen("10.0.0.1", *headers), seen("192.0.2.1", *headers)
    assert (trusted.is_https, trusted.host) == (True, "status.example")
    assert (stranger.is_https, stranger.host) == (False, "inner:8080")
    assert seen("", *headers, trusted=()).is_https is False


@pytest.mark.parametrize(
    ("ip", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", "local"),
    ],
)
def test_what_the_login_limiter_counts(ip: str, counted: str) -> None:
    assert bucket(ip) == counted


@pytest.mark.parametrize("path", ["/v1/monitors", "/nowhere", "/healthz", "/v1/openapi.json"])
async def test_security_headers_everywhere(house: Stage, path: str) -> None:
    headers = (await house.client().get(path)).headers
    assert headers["content-security-policy"] == border.CSP
    for part in (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ):
        assert part in border.CSP
    assert "unsafe" not in border.CSP
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert len(headers["x-request-id"]) == 16
    assert "access-control-allow-origin" not in headers
    assert headers["server"] == "netpulse"
    assert "cache-control" in headers


async def test_unknown_addresses(house: Stage) -> None:
    client = house.client()
    for path in ("/v1/nothing", "/v1", "/v1/monitors/a/b/c"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert answer.json() == {
            "error": {
                "code": "NOT_FOUND",
                "message": "There is nothing at this address; /v1/openapi.json lists what there is",
                "details": {},
            },
            "success": False,
        }
    answer = await client.get("/nothing<script>")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "<script>" not in answer.text


async def test_bodies(house: Stage, alice: httpx.AsyncClient) -> None:
    async def post(content: bytes, media: str | None = "application/json") -> httpx.Response:
        headers = {} if media is None else {"Content-Type": media}
        return await alice.post("/v1/monitors", content=content, headers=headers)

    for content, media in (
        (b"name=x", "application/x-www-form-urlencoded"),
        (b"{}", "text/plain"),
        (b"{}", None),
        (b"{}", "multipart/form-data; boundary=x"),
    ):
        answer = await post(content, media)
        assert (answer.status_code, answer.json()["error"]["code"]) == (
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        )
    for content in (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a": NaN}', b"[" * 200_000):
        answer = await post(content)
        assert answer.status_code == 400, content[:10]
        assert answer.json()["error"]["code"] == "VALIDATION_FAILED"
        assert answer.json()["error"]["details"]["errors"][0]["path"] == "$"
    answer = await post(b"{}", "application/json; charset=utf-8")
    assert answer.status_code == 400
    answer = await post(b'{"name": "' + b"x" * (1024 * 1024) + b'"}')
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")

    async def chunks() -> Any:
        for _ in range(40):
            yield b" " * 64 * 1024

    headers = {"Content-Type": "application/json"}
    answer = await alice.post("/v1/monitors", content=chunks(), headers=headers)
    assert answer.status_code == 413


async def test_a_body_that_does_not_come(house: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(border, "BODY_SECONDS", 0.1)

    async def forever() -> Any:
        yield b"{"
        await asyncio.sleep(60)

    client = house.client(headers=house.cast.alice.headers)
    # The transport would gather the body first: this one asks as a server does.
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}])
    sent: list[Any] = []

    async def receive() -> Any:
        try:
            return next(messages)
        except StopIteration:
            await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    request = client.build_request("POST", "/v1/monitors", json={})
    scope: Any = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/monitors",
        "raw_path": b"/v1/monitors",
        "query_string": b"",
        "headers": [(key.lower(), value) for key, value in request.headers.raw],
        "client": ("192.0.2.1", 1),
        "server": ("netpulse.example", 80),
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
        "root_path": "",
    }
    del forever
    await house.app(scope, receive, send)
    assert sent[0]["status"] == 408
    assert b"REQUEST_TIMEOUT" in sent[1]["body"]


async def test_head_is_get_without_its_body(house: Stage, alice: httpx.AsyncClient) -> None:
    got, headed = await alice.get("/v1/monitors"), await alice.head("/v1/monitors")
    assert headed.status_code == 200
    assert headed.content == b""
    assert headed.headers["content-length"] == str(len(got.content))
    assert (await house.client().head("/v1/monitors")).status_code == 401


async def test_options_says_what_is_allowed(house: Stage) -> None:
    answer = await house.client().options("/v1/monitors", headers={"Origin": "https://x.example"})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST"
    assert "access-control-allow-origin" not in answer.headers


async def test_our_own_mistakes_tell_nothing(
    house: Stage, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(house.house.db, "read", broken)
    answer = await alice.get("/v1/monitors")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "INTERNAL"
    assert "secret" not in answer.text
    assert "the secret inside" in caplog.text

    async def full(*_: Any, **__: Any) -> None:
        raise StorageTrouble(TroubleKind.FULL)

    monkeypatch.setattr(house.house.db, "read", full)
    answer = await alice.get("/v1/monitors")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "STORAGE_TROUBLE")
    assert answer.headers["retry-after"]


async def test_an_error_page_that_fails_is_replaced(house: Stage) -> None:
    def broken(*_: Any) -> str:
        raise RuntimeError("no template")

    house.app = build_app(house.house, broken)
    answer = await house.client().get("/nothing")
    assert answer.status_code == 404
    assert "<h1>404</h1>" in answer.text


class TestHealth:
    async def test_healthz(self, house: Stage) -> None:
        answer = await house.client().get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})

    async def test_readyz_says_little_to_strangers(
        self, house: Stage, alice: httpx.AsyncClient
    ) -> None:
        answer = await house.client().get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
        known = (await alice.get("/readyz")).json()
        assert known == {
            "status": "ready",
            "database": "writable",
            "schedule_lag_p50_ms": 0.0,
            "schedule_lag_p99_ms": 0.0,
            "checks_left_out": 0,
            "stale_monitors": 0,
            "stopping": False,
            "encryption_key": "in use",
        }
        house.house.stopping.set()
        answer = await house.client().get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "not ready"})

    async def test_metrics(self, open_stage: Opener) -> None:
        stage = await open_stage(config=Config(metrics=Metrics(allow=("127.0.0.0/8",))))
        alice = stage.client(headers=stage.cast.alice.headers)
        charlie = stage.client(headers=stage.cast.charlie.headers)
        name = 'Shop "one"\n\\'
        spec = {"name": name, "type": "http", "target": "https://shop.example/"}
        bad = await alice.post("/v1/monitors", json=spec)
        spec["name"] = 'Shop "one"'
        made = await alice.post("/v1/monitors", json=spec)
        assert made.status_code == 201
        await stage.house.engine.settled()
        assert bad.status_code in (201, 400)
        known = await stage.client(ip="127.0.0.1", base="http://localhost").get("/metrics")
        assert known.status_code == 200
        assert known.headers["content-type"].startswith("text/plain; version=0.0.4")
        for family in (
            "netpulse_monitor_up",
            "netpulse_monitor_response_seconds",
            "netpulse_certificate_expiry_timestamp_seconds",
            "netpulse_checks_total",
            "netpulse_schedule_lag_seconds",
            "netpulse_outbox_pending",
        ):
            assert f"# TYPE {family} " in known.text
        assert 'netpulse_checks_total{result="up"} 0\n' in known.text
        assert 'netpulse_schedule_lag_seconds_bucket{le="+Inf"} 0\n' in known.text
        assert "netpulse_outbox_pending 0\n" in known.text
        watched = stage.house.engine.roster.get(made.json()["data"]["id"])
        assert watched is not None
        from msgspec.structs import replace

        from netpulse.model.check import Check, Result
        from netpulse.model.watch import Status

        at = stage.house.clock.now()
        watched.watch = replace(watched.watch, status=Status.UP)
        watched.last = Check(due_at=at, started_at=at, result=Result.UP, response_time_ms=250)
        own = await alice.get("/metrics")
        labels = f'{{org="acme",id="{watched.id}",name="Shop \\"one\\"",type="http"}}'
        assert f"netpulse_monitor_up{labels} 1\n" in own.text
        assert f"netpulse_monitor_response_seconds{labels} 0.25\n" in own.text
        assert "netpulse_checks_total" not in own.text
        foreign = await charlie.get("/metrics")
        assert foreign.status_code == 200
        assert watched.id not in foreign.text
        assert (await stage.client(ip="192.0.2.1").get("/metrics")).status_code == 401

    async def test_metrics_behind_a_proxy_are_not_open_to_all(self, open_stage: Opener) -> None:
        server = Server(trusted_proxies=("127.0.0.0/8",))
        config = Config(server=server, metrics=Metrics(allow=("127.0.0.0/8",)))
        stage = await open_stage(config=config)
        client = stage.client(ip="127.0.0.1", headers={"X-Forwarded-For": "198.51.100.7"})
        assert (await client.get("/metrics")).status_code == 401


@pytest.mark.parametrize("path", ["//v1/monitors", "/v1//monitors", "//login", "/ping//x"])
async def test_two_slashes_lead_nowhere(house: Stage, path: str) -> None:
    """What is compared with a path must be what the router takes."""
    answer = await ask(house.app, "GET", path, headers=house.cast.alice.headers)
    assert answer.status == 404


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://["}, {"Host": "[::::]", "Origin": "http://a"}]
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/auth/login"), ("GET", "/v1/monitors"), ("POST", "/login")]
)
async def test_an_origin_that_is_no_address(
    house: Stage, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await house.client().request(method, path, headers=headers)
    assert answer.status_code in {303, 400, 401, 403}
