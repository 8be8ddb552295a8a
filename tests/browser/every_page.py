"""Every page there is, with something on it: addresses from the route table, ids from an instance
that has one of everything.

A new page without a place here is an error that says what to add.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from netpulse.model.time import HOUR, rfc3339
from netpulse.web.routes import ROUTES
from tests.instance import EMAIL, Instance, Sink, Site, eventually
from tests.mailbox import Mailbox, in_thread

BOB, BOBS_PASSWORD = "bob@example.com", "nineteen quiet herons"

NO_PAGES = (
    "/v1/openapi.json",
    "/healthz",
    "/readyz",
    "/metrics",
    "/live",
    "/ping/",
    "/api/push/",
    "/monitors/{id:str}/chart.json",
    "/monitors/bulk/",  # the part of the list that says how far a change is
    "/static/",
    "/badge/",
    "/status/{slug:str}/feed.",
    "/status/{slug:str}/badge",
    "/status/{slug:str}/style/",
    "/status/{slug:str}/logo/",
)
"""Addresses outside the API, by their beginning, behind which is no page for people."""

_PARAMETER = re.compile(r"\{\w+:\w+\}")


class Unknown(AssertionError):
    """A page has an id in its address, and nothing here has one."""


def templates() -> list[str]:
    """Return the addresses of all pages that are opened (GET), with their parameters unfilled."""
    found = []
    for handler in ROUTES:
        (method,), (path,) = handler.http_methods, handler.paths
        is_api = handler.opt.get("declaration") is not None
        if str(method) == "GET" and not is_api and not path.startswith(NO_PAGES):
            found.append(path)
    return found


class Filled:
    """An instance with one of everything."""

    def __init__(self, instance: Instance, site: Site, sink: Sink, box: Mailbox) -> None:
        self.instance = instance
        self.base = instance.base
        self.site = site
        self.ids: dict[str, str] = {}
        """By the beginning of an address: what stands at its first parameter."""
        self.more: list[str] = []
        """Addresses of pages that look otherwise than the first of their kind."""
        self._fill(sink, box)

    def address(self, template: str) -> str:
        """Return the path of a page, with ids of things that there are.

        Raises:
            Unknown: there is nothing to fill in.
        """
        path = template
        while (found := _PARAMETER.search(path)) is not None:
            before = path[: found.start()]
            key = re.sub(r"/[0-9a-f-]{36}/", "/*/", before)
            if key not in self.ids:
                raise Unknown(
                    f"{template}: this page is opened by no test. Make what it shows in "
                    f"tests/browser/every_page.py and enter its id as ids[{key!r}]; if there is no "
                    "page behind it, add it to NO_PAGES"
                )
            path = before + self.ids[key] + path[found.end() :]
        return path

    def _fill(self, sink: Sink, box: Mailbox) -> None:
        ok, ids = self.instance.ok, self.ids
        hook = {"type": "webhook", "name": "Ops", "config": {"url": sink.url}}
        mail = {"type": "email", "name": "On call", "config": {"to": ["night@example.com"]}}
        channel = ok("POST", "/v1/alert-channels", hook)["id"]
        night = ok("POST", "/v1/alert-channels", mail)["id"]
        rules = [
            ok("POST", "/v1/alert-rules", {"name": "Down", "channel_id": each, "condition": "down"})
            for each in (channel, night)
        ]
        web = {
            "type": "http",
            "name": "Shop",
            "target": self.site.url,
            "tags": ["prod"],
            "group": "Web",
        }
        monitor = ok("POST", "/v1/monitors", web | {"description": "What customers see first."})
        gone = {"type": "http", "name": "Broken", "target": "http://127.0.0.1:1/"}
        broken = ok("POST", "/v1/monitors", gone | {"confirmations": 1})["id"]
        job = {"type": "push", "name": "Backup", "interval_seconds": 3600}
        self.more.append("/monitors/" + ok("POST", "/v1/monitors", job)["id"])
        ids["/monitors/"] = broken
        ids["/setup/channels/"] = night
        ids["/alerts/channels/"], ids["/alerts/rules/"] = night, rules[0]["id"]
        now = int(time.time() * 1000)
        window = {
            "title": "New database",
            "starts_at": rfc3339(now + HOUR),
            "ends_at": rfc3339(now + 2 * HOUR),
            "monitor_ids": [monitor["id"]],
            "is_public": True,
        }
        ids["/maintenance/"] = ok("POST", "/v1/maintenance", window)["id"]
        shown = [{"monitor_id": each, "public_name": each[-4:]} for each in (monitor["id"], broken)]
        page = {"slug": "acme", "title": "Acme", "groups": [{"name": "Web", "monitors": shown}]}
        page_id = ok("POST", "/v1/status-pages", page)["id"]
        closed = {"slug": "inner", "title": "Inner", "password": "open sesame now"}
        closed |= {"custom_domain": "status.acme.example"}
        other = ok("POST", "/v1/status-pages", closed)["id"]
        self.more += [f"/status-pages/{other}/domain", "/status/inner"]
        ids["/status-pages/"], ids["/status/"] = page_id, "acme"
        news = {"title": "We are moving", "text": "On Sunday."}
        told = ok("POST", f"/v1/status-pages/{page_id}/announcements", news)["id"]
        ids["/status-pages/*/news/"] = told
        self._readers(box, page_id)
        ok("PUT", f"/v1/monitors/{monitor['id']}/badges", {})
        self.more.append(f"/monitors/{monitor['id']}/badges")
        key = {"name": "Grafana", "scopes": ["metrics:read"]}
        ids["/settings/api-keys/"] = ok("POST", "/v1/api-keys", key)["id"]
        self._people(box)
        ids["/incidents/"] = eventually(
            "the incident", lambda: ok("GET", f"/v1/incidents?monitor_id={broken}")
        )[0]["id"]
        ids["/alerts/events/"] = ok("GET", "/v1/alert-events")[0]["id"]
        update = {"message": "A cable. It is being replaced.", "status": "identified"}
        ok("POST", f"/v1/incidents/{ids['/incidents/']}/updates", update)
        ids["/acknowledge/"] = self._link(box, "/acknowledge/")

    def _readers(self, box: Mailbox, page_id: str) -> None:
        """Have somebody subscribe to the status page, and somebody else ask to."""
        for address in ("reader@example.com", "asked@example.com"):
            self._post("/status/acme/subscribe", {"kind": "email", "address": address})
            token = self._link(box, "/subscriptions/", address).partition("/")[0]
            self.ids["/subscriptions/"] = token
            if address.startswith("reader"):
                self._post(f"/subscriptions/{token}/confirm", {})
        (reader,) = self.instance.ok("GET", f"/v1/status-pages/{page_id}/subscribers")
        self.ids["/status-pages/*/subscribers/"] = reader["id"]

    def _post(self, path: str, form: dict[str, str]) -> None:
        """Send a form as a stranger."""
        answer = httpx.post(self.base + path, data=form, timeout=15, follow_redirects=True)
        assert answer.status_code == 200

    def _people(self, box: Mailbox) -> None:
        ok, ids = self.instance.ok, self.ids
        self.instance.add_user(BOB, BOBS_PASSWORD, "viewer")
        members = {row["email"]: row["id"] for row in ok("GET", "/v1/org/members")}
        ids["/settings/members/"] = members[BOB]
        asked = {"email": "dora@example.com", "role": "admin"}
        invited = ok("POST", "/v1/org/members/invite", asked)
        ids["/settings/invitations/"] = invited["id"]
        ids["/invitations/"] = invited["url"].rpartition("/")[2]
        client = ok("POST", "/v1/org/clients", {"name": "Corner Shop"})["id"]
        ids["/settings/clients/"] = client
        ok("PUT", f"/v1/org/clients/{client}/grants/{members[BOB]}", {"role": "viewer"})
        ids["/settings/clients/*/grants/"] = members[BOB]
        sessions = ok("GET", "/v1/auth/sessions")
        ids["/profile/sessions/"] = sessions[0]["id"]
        ok("POST", "/v1/auth/password/forgot", {"email": EMAIL})
        ids["/reset/"] = self._link(box, "/reset/")

    def _link(self, box: Mailbox, path: str, to: str = "") -> str:
        """Return what stands behind `path` in a letter (to that address)."""

        def look() -> str | None:
            for mail in box.messages:
                if to not in mail["To"]:
                    continue
                text = mail.get_body(("plain",)).get_content()
                found = re.search(re.escape(path) + r"(\S+)", text)
                if found:
                    return found[1]
            return None

        return eventually(f"a letter with {path}", look)


@contextmanager
def filled(data: Path) -> Iterator[Filled]:
    """Run an instance with one of everything, in the directory `data`."""
    site, sink = Site().up(), Sink()
    instance = Instance(data)
    try:
        with in_thread() as box:
            environ: dict[str, Any] = {
                "SMTP_HOST": "127.0.0.1",
                "SMTP_PORT": str(box.port),
                "SMTP_FROM": "netpulse@example.com",
                "NETPULSE_SMTP_SECURITY": "none",
                "NETPULSE_SERVER_PUBLIC_URL": instance.base,
            }
            instance.start(environ=environ)
            instance.register()
            yield Filled(instance, site, sink, box)
    finally:
        instance.close()
        sink.close()
        site.down()
