"""schemathesis over the whole OpenAPI document: as an administrator, as a viewer, as a stranger.

No request of its makes a 500, every status is in the document, every answer fits its schema (errors
in the one error shape), nothing that needs a sign-in works without. `make soak` gives it longer.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from netpulse.config import Config, Limits, Smtp
from netpulse.crypto.links import Links
from netpulse.egress import connect, resolver
from netpulse.egress.trouble import DialError
from netpulse.engine.clock import Clock
from netpulse.model.check import Failure
from netpulse.model.ids import new_id
from netpulse.model.time import DAY
from netpulse.model.user import Membership, Role
from netpulse.rules.addresses import AddressPolicy
from netpulse.storage import users
from netpulse.storage.db import Conn
from netpulse.web.api.routes import ROUTES as API
from netpulse.web.endpoint import PUBLIC
from tests.api.test_server import served
from tests.cast import SIGNER, Cast, Person
from tests.conftest import Opener, Stage
from tests.makers import Side, random_id
from tests.tenancy import routes_of

HOOKS = Path(__file__).with_name("hooks.py")
ROOT = Path(__file__).resolve().parents[2]
SECONDS = int(os.environ.get("NETPULSE_FUZZ_SECONDS", "0"))
"""How long to go on, as each of the three, with every limit of every field too; 0: until a few
examples of each operation were tried."""
EXAMPLES = {"alice": 10, "bob": 3, None: 2}
SEED = os.environ.get("NETPULSE_SEED", "1")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
)


@pytest.fixture
def walled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing out: what is tried is invented, and must not be dialled or looked up."""

    async def no_name(self: resolver.Resolver, host: str, *args: object, **more: object) -> object:
        if host.replace(".", "").isdigit() or ":" in host:
            return await real(self, host, *args, **more)  # type: ignore[arg-type]
        raise DialError(Failure.DNS, "nxdomain", f"the name {host} does not exist")

    def refused(address: str, port: int, policy: AddressPolicy) -> str | None:
        return f"{address} is outside of the test"

    real = resolver.Resolver.addresses
    monkeypatch.setattr(resolver.Resolver, "addresses", no_name)
    monkeypatch.setattr(connect, "refusal", refused)


class Dispenser:
    """Gives tokens of one person, after putting the people of the test right, and ids of things
    that were made a moment ago."""

    def __init__(self, stage: Stage, person: Person) -> None:
        self.stage = stage
        self.person = person
        self.side = Side(stage, copy(stage.cast.alice), "fuzz")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Listen on loopback."""
        app = web.Application()
        app.router.add_get("/token", self._token)
        app.router.add_get("/id/{noun}", self._id)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()

    async def _token(self, request: web.Request) -> web.Response:
        return web.Response(text=await self._fresh(self.person))

    async def _id(self, request: web.Request) -> web.Response:
        self.side.admin.token = await self._fresh(self.side.admin)
        # What it hangs on may have been deleted meanwhile.
        self.side.made.clear()
        try:
            made = await self.side.fresh(request.match_info["noun"])
        except AssertionError as refused:
            if "404" in str(refused):
                # The page that it would be on was deleted meanwhile.
                self.side.latest.clear()
                made = await self.side.fresh(request.match_info["noun"])
            elif "429" in str(refused):
                # Fifty invitations an hour are the most.
                made = random_id()
            else:
                raise
        return web.Response(text=made)

    async def _fresh(self, person: Person) -> str:
        now = self.stage.house.clock.now()
        family = new_id(now)
        await self.stage.house.db.write(_right, self.stage.cast, person, family, now)
        return SIGNER.issue(person.id, family, now)


def _right(conn: Conn, cast: Cast, person: Person, family: str, now: int) -> None:
    """Put the people of both organizations right, and sign one of them in."""
    conn.execute(
        "UPDATE users SET is_active = 1, ip_whitelist = '[]', totp_enabled = 0, totp_secret = NULL"
    )
    for one in (cast.alice, cast.bob, cast.charlie):
        if users.get(conn, one.id) is None:
            copy(one).enter(conn, now)
        users.put_membership(conn, Membership(user_id=one.id, org_id=one.org.id, role=one.role))
    conn.execute("DELETE FROM login_failures")
    conn.execute(
        "INSERT INTO refresh_families (id, user_id, created_at) VALUES (?, ?, ?)",
        (family, person.id, now - DAY // 1000),
    )


class Seen:
    """The application of a stage, and which statuses each operation has answered with."""

    def __init__(self, stage: Stage) -> None:
        self.statuses: dict[str, Counter[int]] = defaultdict(Counter)
        self._app = stage.app
        stage.app = self  # type: ignore[assignment]  # it is called in the same way

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def noting(message: Any) -> None:
            if message["type"] == "http.response.start":
                template = scope.get("path_template") or scope["path"]
                self.statuses[f"{scope['method']} {template}"][message["status"]] += 1
            await send(message)

        await self._app(scope, receive, noting)


CONFIG = Config(
    limits=Limits(0, 0, 0, 0),
    # There is a mail server, or what needs one would say so; that nobody is there comes later.
    smtp=Smtp(host="mail.example", sender="netpulse@mail.example"),
)
ENOUGH = 0.7
"""The share of operations that what is invented brings to a success, as an administrator: nobody
guesses a password, and not every invented body means something."""
ROUTES = routes_of(API)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 4 + 300)
@pytest.mark.parametrize("who", ["alice", "bob", None], ids=["admin", "viewer", "stranger"])
async def test_the_whole_document(
    open_stage: Opener, walled: None, tmp_path: Path, who: str | None
) -> None:
    stage = await open_stage(config=CONFIG, clock=Clock(), start=True)
    # Set past the configuration, whose public_url the document would send every request to.
    stage.house.links = Links(bytes(32), "https://netpulse.example")
    dispenser = Dispenser(stage, getattr(stage.cast, who or "alice"))
    seen = Seen(stage)
    async with served(stage) as base, dispenser.open() as url:
        status, text = await schemathesis(base, url, tmp_path, who)
    assert status == 0, text
    succeeded = 0
    for route in ROUTES:
        each = f"{route.method} {re.sub(r':[a-z]+}', '}', route.path)}"
        statuses = set(seen.statuses[each])
        assert statuses, f"{each} was not tried"
        assert max(statuses) < 500, f"{each}: {dict(seen.statuses[each])}"
        succeeded += min(statuses) < 300
        if route.access is not PUBLIC and who is None:
            assert statuses == {401}, each
        elif route.access is not PUBLIC and RIGHTS[who] < route.access:
            assert statuses <= {401, 403}, each
    assert who != "alice" or succeeded >= ENOUGH * len(ROUTES), seen.statuses


RIGHTS = {"alice": Role.ADMIN, "bob": Role.VIEWER}


async def schemathesis(base: str, dispenser: str, folder: Path, who: str | None) -> tuple[int, str]:
    """Run it; return its exit status and what it says."""
    environ = os.environ | {
        "SCHEMATHESIS_HOOKS": str(HOOKS),
        "PYTHONPATH": str(ROOT),
        "NETPULSE_DISPENSER": dispenser,
        "NETPULSE_SIGNED": "1" if who else "",
        "NO_COLOR": "1",
    }
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{base}/v1/openapi.json",
        *("--checks", ",".join(CHECKS)),
        *("--phases", "coverage,fuzzing" if SECONDS else "fuzzing"),
        *(("--max-time", str(SECONDS)) if SECONDS else ("--max-examples", str(EXAMPLES[who]))),
        *("--seed", SEED),
        *("--request-timeout", "20"),
        *("--warnings", "off"),
        "--no-shrink",
        "--continue-on-failure",
        cwd=folder,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, output.decode("utf-8", "replace")
