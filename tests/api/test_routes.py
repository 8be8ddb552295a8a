"""The walk over all routes: what each declares, and what each must refuse.

That another organization's things are not found is walked in test_tenants.py.
"""

from __future__ import annotations

import re

import httpx
from litestar.handlers import HTTPRouteHandler
from openapi_spec_validator import OpenAPIV31SpecValidator

from netpulse.model.time import HOUR, rfc3339
from netpulse.model.user import Role
from netpulse.web import routes
from netpulse.web.endpoint import PUBLIC, Declaration
from tests.clock import START
from tests.conftest import Stage

RANDOM = "019b0000-0000-7000-8000-00000000dead"

PUBLIC_ROUTES = {
    ("POST", "/v1/auth/register"),
    ("POST", "/v1/auth/login"),
    ("POST", "/v1/auth/refresh"),
    ("POST", "/v1/auth/logout"),
    ("POST", "/v1/auth/invitations/accept"),
    ("POST", "/v1/auth/password/forgot"),
    ("POST", "/v1/auth/password/reset"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/v1/public/status/{slug:str}"),
    ("GET", "/v1/public/status/{slug:str}/incidents"),
    ("GET", "/v1/public/badges/{token:str}"),
}
"""Every route that strangers may use is here; /metrics looks at the address or the sign-in."""

PUBLIC_PAGES = {
    ("GET", "/"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/forgot"),
    ("POST", "/forgot"),
    ("GET", "/setup"),
    ("POST", "/setup"),
    ("GET", "/docs"),
    ("GET", "/static/{path:path}"),
}

STATUS_PAGES = {
    ("GET", "/status/{slug:str}"),
    ("POST", "/status/{slug:str}"),
    ("GET", "/status/{slug:str}/history"),
    ("GET", "/status/{slug:str}/feed.atom"),
    ("GET", "/status/{slug:str}/feed.rss"),
    ("GET", "/status/{slug:str}/badge.svg"),
    ("GET", "/status/{slug:str}/badge/{service:str}/status.svg"),
    ("GET", "/status/{slug:str}/badge/{service:str}/uptime.svg"),
    ("GET", "/status/{slug:str}/style/{name:str}"),
    ("GET", "/status/{slug:str}/logo/{name:str}"),
    ("GET", "/status/{slug:str}/subscribe"),
    ("POST", "/status/{slug:str}/subscribe"),
}
"""What the world may see of what organizations chose to show, give a page's password, and ask to be
told."""

LINKS = {
    ("GET", "/acknowledge/{token:str}"),
    ("POST", "/acknowledge/{token:str}"),
    ("GET", "/invitations/{token:str}"),
    ("POST", "/invitations/{token:str}"),
    ("GET", "/badge/{token:str}/{name:str}"),
    ("GET", "/reset/{token:str}"),
    ("POST", "/reset/{token:str}"),
    ("GET", "/subscriptions/{token:str}/confirm"),
    ("POST", "/subscriptions/{token:str}/confirm"),
    ("GET", "/subscriptions/{token:str}/unsubscribe"),
    ("POST", "/subscriptions/{token:str}/unsubscribe"),
}
"""Strangers who have a link that is a capability."""

PINGS = {
    ("GET", "/ping/{token:str}"),
    ("POST", "/ping/{token:str}"),
    ("GET", "/ping/{token:str}/{what:str}"),
    ("POST", "/ping/{token:str}/{what:str}"),
    ("GET", "/api/push/{token:str}"),
    ("POST", "/api/push/{token:str}"),
    ("POST", "/api/v1/endpoints/{key:str}/external"),
}
"""Strangers who know a token, which is not in the document."""

VIEWERS_ROUTES = {
    ("GET", "/v1/org"),
    ("GET", "/v1/org/members"),
    ("GET", "/v1/monitors"),
    ("GET", "/v1/monitors/{id:str}"),
    ("GET", "/v1/monitors/bulk/{id:str}"),
    ("GET", "/v1/monitors/{id:str}/checks"),
    ("GET", "/v1/monitors/{id:str}/uptime"),
    ("GET", "/v1/monitors/{id:str}/badges"),
    ("GET", "/v1/incidents"),
    ("GET", "/v1/incidents/{id:str}"),
    ("GET", "/v1/alert-channels"),
    ("GET", "/v1/alert-channels/{id:str}"),
    ("GET", "/v1/alert-rules"),
    ("GET", "/v1/alert-rules/{id:str}"),
    ("GET", "/v1/alert-events"),
    ("GET", "/v1/alert-events/{id:str}"),
    ("GET", "/v1/maintenance"),
    ("GET", "/v1/maintenance/{id:str}"),
    ("GET", "/v1/status-pages"),
    ("GET", "/v1/status-pages/{id:str}"),
    ("GET", "/v1/status-pages/{id:str}/announcements"),
    ("GET", "/live"),
}

OWN_ROUTES = {
    ("POST", "/v1/auth/2fa/setup"),
    ("POST", "/v1/auth/2fa/verify"),
    ("POST", "/v1/auth/2fa/disable"),
    ("POST", "/v1/auth/2fa/recovery-codes"),
    ("GET", "/v1/auth/me"),
    ("PATCH", "/v1/auth/me"),
    ("POST", "/v1/auth/password"),
    ("GET", "/v1/auth/sessions"),
    ("DELETE", "/v1/auth/sessions"),
    ("DELETE", "/v1/auth/sessions/{id:str}"),
}
"""What everybody may do, viewers too: it is about their own account alone."""

SUPER_ADMINS_ROUTES = {("POST", "/v1/status-pages/{id:str}/domain/vouch")}
"""For whoever runs the instance, beyond what administrators may."""

MONITOR = {"name": "Shop", "type": "http", "target": "https://shop.example/"}
PLAN = {
    "title": "Move",
    "starts_at": rfc3339(START),
    "ends_at": rfc3339(START + HOUR),
    "all": True,
}
CHANNEL = {"name": "Hook", "type": "webhook", "config": {"url": "https://hooks.example/x"}}


def key(handler: HTTPRouteHandler) -> tuple[str, str]:
    (method,) = handler.http_methods
    (path,) = handler.paths
    return str(method), path


API = {key(handler): handler.opt["declaration"] for handler in routes.API}
FOR_PROGRAMS = [
    each for each in map(key, routes.ROUTES) if each[1].startswith("/v1") or each in PUBLIC_ROUTES
]


def url(path: str, row_id: str = RANDOM) -> str:
    return re.sub(r"\{\w+:str\}", row_id, path)


def test_every_route_declares_who_may_use_it() -> None:
    for handler in routes.ROUTES:
        access = handler.opt.get("access")
        assert access is PUBLIC or isinstance(access, Role), key(handler)


def test_strangers_have_these_and_no_others() -> None:
    found = {key(handler) for handler in routes.ROUTES if handler.opt["access"] is PUBLIC}
    assert found == PUBLIC_ROUTES | PUBLIC_PAGES | STATUS_PAGES | LINKS | PINGS


def test_viewers_change_nothing() -> None:
    for each, declaration in API.items():
        if declaration.access is Role.VIEWER:
            assert each in VIEWERS_ROUTES | OWN_ROUTES
        elif declaration.access is Role.SUPER_ADMIN:
            assert each in SUPER_ADMINS_ROUTES
        elif declaration.access is not PUBLIC:
            assert declaration.access is Role.ADMIN, each


def test_everything_under_v1_is_declared_for_the_document() -> None:
    for handler in routes.ROUTES:
        method, path = key(handler)
        if path.startswith("/v1/") and path != "/v1/openapi.json":
            declaration = handler.opt["declaration"]
            assert isinstance(declaration, Declaration)
            assert (declaration.method, declaration.path) == (method, path)


async def test_the_document(house: Stage) -> None:
    answer = await house.client().get("/v1/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert "success" not in document
    OpenAPIV31SpecValidator(document).validate()
    for (method, path), declaration in API.items():
        operation = document["paths"][re.sub(r":str\}", "}", path)][method.lower()]
        wanted = declaration.access.word if isinstance(declaration.access, Role) else "public"
        assert operation["x-role"] == wanted
        assert bool(operation["security"]) is (declaration.access is not PUBLIC)
        assert operation["summary"]
        assert str(declaration.status) in operation["responses"]
        assert ("requestBody" in operation) is (declaration.body is not None)
    count = sum(len(operations) for operations in document["paths"].values())
    assert count == len(API)
    ids = [
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
    ]
    assert len(ids) == len(set(ids))
    schemas = document["components"]["schemas"]
    assert schemas["HttpMonitor"]["properties"]["status"]
    assert schemas["HttpMonitor"]["properties"]["client_key_set"]["type"] == "boolean"
    assert "client_key_set" not in schemas["TcpMonitor"]["properties"]


async def test_strangers_are_refused(house: Stage) -> None:
    client = house.client()
    for method, path in FOR_PROGRAMS:
        if (method, path) in PUBLIC_ROUTES and path != "/metrics":
            continue
        answer = await client.request(method, url(path))
        assert answer.status_code == 401, (method, path)
        body = answer.json()
        assert body["success"] is False
        assert body["error"]["code"] == "UNAUTHORIZED"
        assert body["error"]["details"] == {}


async def test_viewers_are_refused(house: Stage, bob: httpx.AsyncClient) -> None:
    for (method, path), declaration in API.items():
        if declaration.access is Role.ADMIN:
            answer = await bob.request(method, url(path), json={})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert await house.actions(house.cast.acme.id) == []


async def test_wrong_methods(alice: httpx.AsyncClient) -> None:
    for path in sorted({path for _, path in API}):
        known = {method for method, where in API if where == path}
        # What /v1/monitors/{id} takes, /v1/monitors/test takes too: "test" is a (bad) id there.
        taken = known | ({"GET", "PUT", "DELETE"} if path == "/v1/monitors/test" else set())
        wrong = next(each for each in ("PATCH", "PUT", "DELETE", "GET") if each not in taken)
        for verb in (wrong, "TRACE", "BREW"):
            answer = await alice.request(verb, url(path))
            assert answer.status_code == 405, (verb, path, answer.text)
            assert answer.json()["error"]["code"] == "METHOD_NOT_ALLOWED"
            assert known <= set(answer.headers["allow"].split(", "))


async def test_mass_assignment(alice: httpx.AsyncClient, house: Stage) -> None:
    """Fields that only the product sets are refused or ignored, never taken."""
    theirs = house.cast.globex.id
    for noun, body in (
        ("monitors", MONITOR),
        ("alert-channels", CHANNEL),
        ("maintenance", PLAN),
    ):
        for extra in (
            {"org_id": theirs},
            {"id": RANDOM},
            {"version": 99},
            {"created_at": "2001-01-01T00:00:00Z"},
        ):
            answer = await alice.post(f"/v1/{noun}", json={**body, **extra})
            assert answer.status_code == 201, answer.text
            data = answer.json()["data"]
            assert data["org_id"] == house.cast.acme.id
            assert data["id"] != RANDOM
            assert data["version"] == 1
            assert not data["created_at"].startswith("2001")
        for extra in (
            {"deleted_at": 1},
            {"key": 7},
            {"managed_by": "x"},
            {"source": "x"},
            {"external_id": "x"},
            {"role": "super_admin"},
            {"parent_key": RANDOM},
            {"damage": "x"},
        ):
            answer = await alice.post(f"/v1/{noun}", json={**body, **extra})
            assert answer.status_code == 400, (noun, extra)
            (name,) = extra
            (error,) = answer.json()["error"]["details"]["errors"]
            assert error == {"path": f"$.{name}", "message": "there is no such field here"}
