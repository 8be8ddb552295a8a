"""Behind a real reverse proxy, set up as docs/operating.md says."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from netpulse.config import Config, Limits, Server
from netpulse.engine.clock import Clock
from netpulse.web.listening import serve_embedded
from tests.api.test_wire import AMBIGUOUS
from tests.cast import PASSWORD
from tests.conftest import Opener, Stage
from tests.servers import free_port
from tests.wire import Log, say

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / "build" / "debian" / "nginx" / "usr" / "sbin" / "nginx"
NGINX = shutil.which("nginx") or (str(UNPACKED) if UNPACKED.exists() else None)

pytestmark = pytest.mark.skipif(
    NGINX is None, reason="nginx is missing: python packaging/system_packages.py proxy"
)

CLIENT = "127.0.0.2"
"""Where clients come from; the proxy comes from 127.0.0.1."""


def settings(folder: Path, port: int, behind: int) -> str:
    """Return a whole nginx.conf around the part that the handbook gives."""
    text = (ROOT / "docs" / "operating.md").read_text()
    (part,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    assert "http://127.0.0.1:8080" in part
    # It keeps its connections to us, as busy ones do: a request that is hidden in another one
    # would meet somebody else's.
    part = part.replace("http://127.0.0.1:8080", "http://netpulse")
    paths = "".join(
        f"{name}_temp_path {folder / name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    return f"""
        {user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;
        events {{}}
        http {{
            access_log off; {paths}
            upstream netpulse {{ server 127.0.0.1:{behind}; keepalive 4; }}
            server {{ listen 127.0.0.1:{port}; listen 127.0.0.2:{port}; {part} }}
        }}
    """


class Front:
    """nginx, and what reached us through it."""

    def __init__(self, stage: Stage, log: Log, port: int) -> None:
        self.stage = stage
        self.log = log
        self.port = port

    def client(self, **options: object) -> httpx.AsyncClient:
        """Return a client that comes from CLIENT."""
        transport = httpx.AsyncHTTPTransport(local_address=CLIENT)
        base = f"http://127.0.0.1:{self.port}"
        return httpx.AsyncClient(transport=transport, base_url=base, timeout=10, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def fronted(stage: Stage, folder: Path) -> AsyncIterator[Front]:
    log = Log(stage.app)
    port, behind = free_port(), free_port()
    ours = asyncio.create_task(serve_embedded(log, "127.0.0.1", behind, stage.house.stopping))
    config = folder / "nginx.conf"
    config.write_text(settings(folder, port, behind))
    assert NGINX is not None
    nginx = await asyncio.create_subprocess_exec(
        NGINX, "-p", str(folder), "-c", str(config), "-e", str(folder / "errors")
    )
    front = Front(stage, log, port)
    try:
        for _ in range(250):
            with suppress(httpx.TransportError):
                async with front.client() as client:
                    if (await client.get("/healthz")).status_code == 200:
                        break
            assert nginx.returncode is None, (folder / "errors").read_text()
            await asyncio.sleep(0.02)
        log.requests.clear()
        yield front
    finally:
        nginx.terminate()
        await nginx.wait()
        stage.house.stopping.set()
        await ours


@pytest.fixture
async def front(open_stage: Opener, tmp_path: Path) -> AsyncIterator[Front]:
    server = Server(trusted_proxies=("127.0.0.1/32",))
    config = Config(server=server, limits=Limits(anonymous_per_minute=1000))
    stage = await open_stage(config=config, clock=Clock())
    folder = tmp_path / "nginx"
    folder.mkdir()
    async with fronted(stage, folder) as made:
        yield made


TWO_REQUESTS = {"chunks that end with a bare line feed"}
"""What nginx reads as two requests, and sends on as two, each with a length of its own."""


async def test_nothing_that_is_hidden_in_a_request_becomes_one(front: Front) -> None:
    """Of each the proxy and we understand the same, or one of us refuses it; and whoever comes
    next through the same connection gets the answer to their own question."""
    async with front.client() as next_one:
        for number, (name, data, _, _, _) in enumerate(AMBIGUOUS):
            front.log.requests.clear()
            heard = await say(front.port, data, answers=2 if name in TWO_REQUESTS else 1)
            reached = front.log.requests
            # An answer of HTTP/0.9 has no status.
            assert (len(heard.statuses) or bool(heard.raw)) >= len(reached), name
            assert ("GET /hidden" in reached) is (name in TWO_REQUESTS), name
            for _ in range(5):
                # As many as nginx keeps connections to us, and one more.
                asked = await next_one.get(f"/v1/monitors/{number}")
                assert asked.status_code == 401, name
                assert asked.headers["server"].startswith("nginx")
    assert front.log.requests.count(f"GET /v1/monitors/{len(AMBIGUOUS) - 1}") == 5


async def test_a_client_cannot_say_where_it_comes_from(front: Front) -> None:
    stage = front.stage
    body = {"email": stage.cast.alice.email, "password": "wrong"}
    spoofed = {"X-Forwarded-For": "203.0.113.9, 127.0.0.1", "X-Forwarded-Proto": "https"}
    async with front.client(headers=spoofed) as client:
        codes = []
        for number in range(7):
            headers = {"X-Forwarded-For": f"203.0.113.{number}"}
            answer = await client.post("/v1/auth/login", json=body, headers=headers)
            codes.append(answer.status_code)
        # Each time another address, as it says; the limit is of the one it has.
        assert codes == [401] * 5 + [429] * 2
        assert "strict-transport-security" not in answer.headers, "nor how"
    rows = await stage.house.db.read(
        lambda conn: conn.all("SELECT DISTINCT ip_address FROM audit_logs")
    )
    assert rows == [(CLIENT,)]


async def test_sign_in_events_and_large_bodies_pass(front: Front) -> None:
    stage = front.stage
    async with front.client() as client:
        form = {"email": stage.cast.alice.email, "password": PASSWORD}
        assert (await client.post("/login", data=form)).status_code == 303
        origin = {"Origin": f"http://127.0.0.1:{front.port}"}
        made = await client.post(
            "/v1/monitors",
            json={"name": "Shop", "type": "http", "target": "https://shop.example/"},
            headers=origin,
        )
        assert made.status_code == 201, "a page behind the proxy is no foreign one"
        async with client.stream("GET", "/live") as stream:
            assert stream.status_code == 200
            lines = stream.aiter_lines()
            async with asyncio.timeout(3):
                assert await anext(lines) == "retry: 2000"
                stage.house.engine.live.tell(stage.cast.acme.id, "counts", {"up": 1})
                while await anext(lines) != "event: counts":
                    pass
        big = b'{"name": "' + b"x" * 900_000 + b'"}'
        headers = {"Content-Type": "application/json", **origin}
        assert (await client.post("/v1/monitors", content=big, headers=headers)).status_code == 400
