"""How one of each thing that an organization can have is made: what the tests across
organizations, and those of every page, begin with.

A new noun is one function here and one entry in MAKERS; a body that names other things by their
id is one entry in SAMPLES.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from netpulse.model.api_key import SCOPES
from netpulse.model.ids import Id, new_id
from netpulse.model.subscriber import SubscriberKind
from netpulse.model.time import DAY, HOUR, Millis, rfc3339
from netpulse.model.user import Role
from netpulse.storage import page_news, sessions, status_pages, subscribers
from netpulse.storage.db import Conn
from netpulse.web.border import Border
from tests.api.test_monitors import fail
from tests.asgi import Answer, ask
from tests.cast import DIGESTER, Person
from tests.clock import START
from tests.conftest import Stage


class Side:
    """One organization of the two, with its people and what was made in it.

    Everything it has carries `mark` in its name, so that it is found wherever it leaks to.
    """

    def __init__(self, stage: Stage, admin: Person, mark: str) -> None:
        self.stage = stage
        self.app: Border = stage.app  # type: ignore[assignment]  # what build_app returns
        self.admin = admin
        self.org = admin.org
        self.mark = mark
        self.made: dict[str, Id] = {}
        """The first of each noun."""
        self.latest: dict[str, Id] = {}
        """The one of each noun that was made last: what is made of it next belongs to it."""
        self.texts: set[str] = {admin.email}
        """What else must not be seen by others, beside ids and the mark."""
        self._count = 0

    @property
    def now(self) -> int:
        """Return the moment, by the stage's clock."""
        return self.stage.house.clock.now()

    def name(self, what: str) -> str:
        """Return a name that nobody else has."""
        self._count += 1
        return f"{self.mark} {what} {self._count}"

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        """Make a request as the administrator."""
        headers = self.admin.headers | more.pop("headers", {})
        return await ask(self.app, method, path, headers=headers, **more)

    async def post(self, path: str, body: Any) -> Any:
        """Make something through the API and return its `data`."""
        return (await self.ask("POST", path, json_body=body)).data

    async def one(self, noun: str) -> Id:
        """Return the first of a noun, made now if there is none."""
        if noun not in self.made:
            self.made[noun] = await self.fresh(noun)
        return self.made[noun]

    async def fresh(self, noun: str) -> Id:
        """Return another one, for a request that may use it up."""
        self.latest[noun] = await MAKERS[noun](self)
        return self.latest[noun]

    async def everything(self) -> dict[str, Id]:
        """Make one of each noun."""
        for noun in MAKERS:
            await self.one(noun)
        return dict(self.made)


Maker = Callable[[Side], Awaitable[Id]]


async def monitor(side: Side) -> Id:
    """A web site that nobody is at, with badges that anybody may see who knows their token."""
    name = side.name("shop")
    found = await _id(
        side,
        "/v1/monitors",
        {
            "type": "http",
            "name": name,
            "target": f"http://127.0.0.1:9/{name.replace(' ', '-')}",
            "timeout_seconds": 1,
            "tags": [side.mark],
            "group": f"{side.mark} group",
        },
    )
    made = await side.ask("PUT", f"/v1/monitors/{found}/badges", json_body={})
    side.texts.add(made.data["paths"]["json"].rpartition("/")[2])
    return found


async def bulk(side: Side) -> Id:
    """A change of many monitors that is done."""
    body = {"action": "resume", "monitor_ids": [await side.one("monitor")]}
    return await _id(side, "/v1/monitors/bulk", body)


async def alert_channel(side: Side) -> Id:
    """A webhook."""
    config = {"url": f"https://hooks.example/{side.mark}"}
    body = {"name": side.name("hook"), "type": "webhook", "config": config}
    return await _id(side, "/v1/alert-channels", body)


async def alert_rule(side: Side) -> Id:
    """A rule about one monitor."""
    return await _id(
        side,
        "/v1/alert-rules",
        {
            "name": side.name("rule"),
            "channel_id": await side.one("alert_channel"),
            "monitor_id": await side.one("monitor"),
        },
    )


async def incident(side: Side) -> Id:
    """An incident that a person announced, with a line in its story."""
    monitor_id = await side.one("monitor")
    body = {"title": side.name("fire"), "message": side.name("story"), "monitor_id": monitor_id}
    return await _id(side, "/v1/incidents", body)


async def alert_event(side: Side) -> Id:
    """What a monitor that went down caused."""
    await side.one("alert_rule")
    monitor_id = await monitor(side)
    rule = {"channel_id": await side.one("alert_channel"), "monitor_id": monitor_id}
    await side.post("/v1/alert-rules", rule)
    await fail(side.stage, monitor_id, side.now)
    found = (await side.ask("GET", "/v1/alert-events", query={"monitor_id": monitor_id})).data
    return str(found[0]["id"])


async def maintenance(side: Side) -> Id:
    """A window that lasts now."""
    return await _id(
        side,
        "/v1/maintenance",
        {
            "title": side.name("move"),
            "starts_at": rfc3339(side.now),
            "ends_at": rfc3339(side.now + HOUR),
            "monitor_ids": [await side.one("monitor")],
        },
    )


async def api_key(side: Side) -> Id:
    """A key that may do everything a key may."""
    body = {"name": side.name("key"), "scopes": sorted(SCOPES)}
    made = await side.post("/v1/api-keys", body)
    side.texts.add(made["key"])
    side.texts.add(made["prefix"])
    return str(made["id"])


async def status_page(side: Side) -> Id:
    """A page with a service on it."""
    body = await a_status_page(side)
    service = {"monitor_id": await side.one("monitor"), "public_name": side.name("service")}
    body["groups"] = [{"name": side.name("group"), "monitors": [service]}]
    return await _id(side, "/v1/status-pages", body)


async def announcement(side: Side) -> Id:
    """Something told on the page."""
    page_id = side.latest.get("status_page") or await side.one("status_page")
    body = {"title": side.name("news")}
    return await _id(side, f"/v1/status-pages/{page_id}/announcements", body)


async def subscriber(side: Side) -> Id:
    """Somebody who is told what the page tells."""
    page_id = side.latest.get("status_page") or await side.one("status_page")
    side._count += 1
    email = f"{side.mark}-reader-{side._count}@mail.example"
    side.texts.add(email)
    return await side.stage.house.db.write(subscribe, page_id, email, side.now)


def subscribe(conn: Conn, page_id: Id, email: str, now: Millis) -> Id:
    """Have an address confirmed that it wants a page's news."""
    assert status_pages.of_id(conn, page_id) is not None, "404: the page is gone"
    asked = subscribers.ask(conn, page_id, SubscriberKind.EMAIL, email, now)
    if subscribers.count(conn, page_id)[0] == 0:
        page_news.begin(conn, page_id, now)
    subscribers.confirm(conn, asked, page_news.latest(conn, page_id), now)
    return asked.id


async def client(side: Side) -> Id:
    """An organization that this one looks after, which its administrator may enter."""
    return await _id(side, "/v1/org/clients", {"name": side.name("client")})


async def user(side: Side) -> Id:
    """A colleague who may only look."""
    side._count += 1
    person = Person(f"{side.mark}-{side._count}", Role.VIEWER, side.org, side.now)
    await side.stage.house.db.write(person.enter, side.now)
    side.texts.add(person.email)
    return person.id


async def session(side: Side) -> Id:
    """A browser in which the administrator is signed in."""
    digest = DIGESTER.digest(side.name("browser"))
    row = await side.stage.house.db.write(
        sessions.create,
        digest,
        side.admin.id,
        side.org.id,
        START,
        START + DAY,
        None,
        f"{side.mark} browser",
    )
    return row.id


async def invitation(side: Side) -> Id:
    """Somebody who was asked in and has not answered."""
    side._count += 1
    email = f"{side.mark}-asked-{side._count}@mail.example"
    made = await side.post("/v1/org/members/invite", {"email": email, "role": "admin"})
    side.texts |= {email, made["url"]}
    return str(made["id"])


async def org(side: Side) -> Id:
    """The organization itself."""
    return side.org.id


async def _id(side: Side, path: str, body: Any) -> Id:
    return str((await side.post(path, body))["id"])


MAKERS: dict[str, Maker] = {
    "org": org,
    "user": user,
    "invitation": invitation,
    "client": client,
    "monitor": monitor,
    "bulk": bulk,
    "alert_channel": alert_channel,
    "alert_rule": alert_rule,
    "incident": incident,
    "alert_event": alert_event,
    "maintenance": maintenance,
    "api_key": api_key,
    "session": session,
    "status_page": status_page,
    "announcement": announcement,
    "subscriber": subscriber,
}

ALIASES = {
    "channel": "alert_channel",
    "rule": "alert_rule",
    "event": "alert_event",
    "member": "user",
    "parent": "monitor",
    "resource": "monitor",
}
"""Other words for a noun, in paths and in names of fields: `channel_id`, `/alerts/rules/{id}`."""

NOT_IDS = {
    "chat_id": "a chat of Telegram's",
    "token": "a capability: whoever knows it may use it, wherever they belong",
    "what": "a word behind a ping",
    "key": "a monitor's name as Gatus writes it, which counts only with its own token",
    "path": "a file that everybody may have",
    "slug": "the address of a status page, which everybody may read",
    "service": "the public id of a service on a status page",
    "name": "a part of a public address",
    "np_org": "says which organization a page is of: with another one it does nothing at all",
}
"""Parameters and fields that name nothing of an organization's, and why."""

SAMPLES: dict[str, Callable[[Side], Awaitable[dict[str, Any]]]] = {}
"""By the name of a body's Struct: a sound body without the optional ids."""


def sample(*names: str) -> Callable[..., Any]:
    """Enter a function as the sample of these Structs."""

    def enter(make: Callable[[Side], Awaitable[dict[str, Any]]]) -> Any:
        SAMPLES.update(dict.fromkeys(names, make))
        return make

    return enter


TARGETS = {
    "HttpSpec": {"target": "http://127.0.0.1:9/"},
    "HttpsSpec": {"target": "https://127.0.0.1:9/"},
    "TcpSpec": {"target": "127.0.0.1:9"},
    "SslSpec": {"target": "127.0.0.1", "port": 9},
    "DnsSpec": {"target": "sample.example", "nameserver": "127.0.0.1:9"},
    "IcmpSpec": {"target": "127.0.0.1", "packets": 1},
    "PushSpec": {"target": ""},
}
"""By the Struct of a type: where nobody is, so that trying it is quick and stays in the house."""


def _a_monitor(target: dict[str, Any]) -> Callable[[Side], Awaitable[dict[str, Any]]]:
    async def make(side: Side) -> dict[str, Any]:
        return {"name": side.name("sample"), "timeout_seconds": 1, **target}

    return make


SAMPLES |= {name: _a_monitor(target) for name, target in TARGETS.items()}


@sample("BulkSpec")
async def a_bulk_change(side: Side) -> dict[str, Any]:
    """Nothing that changes anything; which monitors is put in by whoever asks."""
    return {"action": "resume"}


@sample("RuleSpec")
async def a_rule(side: Side) -> dict[str, Any]:
    """A rule about everything."""
    return {"name": side.name("sample"), "channel_id": await side.one("alert_channel")}


@sample("IncidentSpec")
async def an_incident(side: Side) -> dict[str, Any]:
    """An incident without monitors."""
    return {"title": side.name("sample")}


@sample("IncidentPatch")
async def a_change(side: Side) -> dict[str, Any]:
    """Another title."""
    return {"title": side.name("sample")}


@sample("StatusPageSpec")
async def a_status_page(side: Side) -> dict[str, Any]:
    """An empty page at an address that nobody has."""
    title = side.name("page")
    # The mark may be anything at all, and an address may not.
    digest = hashlib.sha256(title.encode()).hexdigest()
    return {"slug": f"page-{digest[:16]}", "title": title}


@sample("MaintenanceSpec")
async def a_maintenance(side: Side) -> dict[str, Any]:
    """A window tomorrow; what it covers is put in by whoever asks."""
    at = side.now + DAY
    title = side.name("sample")
    return {"title": title, "starts_at": rfc3339(at), "ends_at": rfc3339(at + HOUR)}


def random_id() -> Id:
    """Return an id that nobody has."""
    return new_id(START)
