"""Names under which we are asked: nothing is given, and no link made, because of one."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from netpulse import web
from netpulse.config import Config, Metrics, Server
from netpulse.crypto.links import Links
from netpulse.rules.status_pages import hostname, is_local
from netpulse.web.routes import ROUTES
from tests.api.test_headers import ENDLESS, LEAVING, filled
from tests.conftest import Opener, Stage

WEB = Path(web.__file__).parent
EVIL = "rebound.attacker.com"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8080",
        "192.0.2.7:80",
        "[::1]",
        "[2001:db8::7]:8080",
        "localhost:8080",
        "netpulse",
        "netpulse:8080",
        "nas.local",
        "netpulse.internal",
        "netpulse.home.arpa:8080",
        "netpulse.lan.",
    ],
)
def test_names_that_no_stranger_can_have(host: str) -> None:
    assert is_local(hostname(host))


@pytest.mark.parametrize(
    "host",
    [
        EVIL,
        f"{EVIL}:8080",
        "example.com",
        "127.0.0.1.nip.io",
        "localhost.attacker.com",
        "local.attacker.com",
        "attacker.com.",
    ],
)
def test_names_that_anybody_may_have(host: str) -> None:
    assert not is_local(hostname(host))


async def test_figures_without_a_sign_in_are_given_under_our_own_names_only(
    open_stage: Opener,
) -> None:
    """While nobody has said which name is ours, all are answered; this is not."""
    metrics = Metrics(allow=("127.0.0.0/8",))
    stage = await open_stage(config=Config(metrics=metrics))
    near = stage.client(ip="127.0.0.1")
    for host in ("127.0.0.1:8080", "localhost"):
        answer = await near.get("/metrics", headers={"Host": host})
        assert (answer.status_code, "netpulse_checks_total" in answer.text) == (200, True)
        assert "database" in (await near.get("/readyz", headers={"Host": host})).json()
    rebound = await near.get("/metrics", headers={"Host": EVIL})
    assert rebound.status_code == 403
    assert rebound.json()["error"]["message"] == (
        "Figures without a sign-in are given under an address of this machine or the name in "
        "server.public_url, not under the one you asked for; or send an API key"
    )
    assert (await near.get("/readyz", headers={"Host": EVIL})).json() == {"status": "ready"}
    signed = {"Host": EVIL, **stage.cast.alice.headers}
    assert (await near.get("/metrics", headers=signed)).status_code == 200
    far = await stage.client(ip="192.0.2.1").get("/metrics", headers={"Host": "localhost"})
    assert far.status_code == 401


async def test_nothing_that_is_answered_or_kept_names_the_host_that_was_asked_for(
    open_stage: Opener,
) -> None:
    server = Server(public_url="https://status.example.com", trusted_proxies=("10.0.0.0/8",))
    stage = await open_stage(config=Config(server=server))
    evil = {"X-Forwarded-Host": EVIL, "Forwarded": f"host={EVIL}"}
    # As our own name, as none of ours, and with a proxy's word for it.
    for ip, host in (("192.0.2.1", "localhost"), ("192.0.2.1", EVIL), ("10.0.0.1", "localhost")):
        for person in ({}, stage.cast.alice.headers):
            client = stage.client(ip=ip, headers={"Host": host, **evil, **person})
            for route in ROUTES:
                (path,), (method,) = route.paths, route.http_methods
                if path in ENDLESS | LEAVING:
                    continue
                answer = await client.request(str(method), filled(path), follow_redirects=False)
                assert EVIL not in answer.text, path
                assert EVIL not in str(answer.headers), path
                target = answer.headers.get("location", "/")
                assert re.match(r"/(?!/)", target), f"{path} leads to {target}"
    assert EVIL.encode() not in b"".join(
        file.read_bytes() for file in stage.data.rglob("*") if file.is_file()
    )


SHOWN = {
    "call.py",
    "pages/api_keys.py",
    "pages/badges.py",
    "pages/monitors.py",
    "pages/status_page_form.py",
    "pages/members.py",
    "pages/status_page_domain.py",
    "status/routes.py",
}
"""Pages that show an address to the one who asked for them, while no public address is set."""
COMPARED = {"api/health.py", "border.py", "failures.py", "status/door.py"}


def test_nothing_else_looks_at_the_host() -> None:
    """What makes a letter or a message does not: those take `Links`, which knows one address."""
    found = {
        path.relative_to(WEB).as_posix()
        for path in WEB.rglob("*.py")
        if re.search(
            r"origin.{0,3}\.host\b|call\.base\b|base_url|\.url_for|request\.url\b", path.read_text()
        )
    }
    assert found == SHOWN | COMPARED


def test_messages_know_one_address() -> None:
    assert Links(bytes(32), "").page("/incidents/x") is None
    assert Links(bytes(32), "https://status.example.com/").page("/incidents/x") == (
        "https://status.example.com/incidents/x"
    )


async def test_cookies_belong_to_the_name_they_were_set_under(
    house: Stage, alice: httpx.AsyncClient
) -> None:
    """No Domain: a browser sends them to no other name, such as one that was made to lead here."""
    from tests.cast import PASSWORD

    client = house.client(base="https://netpulse.example")
    form = {"email": house.cast.alice.email, "password": PASSWORD}
    page = await client.post("/login", data=form)
    api = await client.post("/v1/auth/login", json=form)
    for answer, prefix in ((page, "__Host-np_session="), (api, "__Secure-np_refresh=")):
        (cookie,) = answer.headers.get_list("set-cookie")
        assert cookie.startswith(prefix)
        assert "domain" not in cookie.lower()
        assert "Secure" in cookie
        assert "HttpOnly" in cookie
    del alice
