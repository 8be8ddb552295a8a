"""What others wrote, looked at with a browser: no script of theirs runs, not even without the
content security policy that would stop it. `tests/security/test_xss.py` compares the markup.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from netpulse.web import routes
from tests.browser.conftest import Opener
from tests.instance import EMAIL, PASSWORD, Instance, eventually
from tests.security.test_xss import PAGES, POLYGLOT
from tests.tenancy import routes_of

LANDED = "window.np = () => { window.npRan = true; };"
"""What the polyglot calls."""


class Hostile:
    """A site that answers with the polyglot wherever HTTP has room for text."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = POLYGLOT.encode()
                self.send_response(404, POLYGLOT.replace("\n", " "))
                self.send_header("X-Text", POLYGLOT)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                self.do_GET()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Instance, dict[str, str]]]:
    """A NetPulse in which everything is called the polyglot, and the ids of what there is."""
    instance = Instance(tmp_path_factory.mktemp("town") / "data")
    hostile = Hostile()
    try:
        instance.start()
        instance.register()
        yield instance, _fill(instance, hostile.url)
    finally:
        instance.close()
        hostile.close()


def _fill(instance: Instance, url: str) -> dict[str, str]:
    made: dict[str, str] = {}

    def post(noun: str, path: str, body: dict[str, Any]) -> str:
        made[noun] = str(instance.ok("POST", path, body)["id"])
        return made[noun]

    channel = {"name": POLYGLOT, "type": "webhook", "config": {"url": url}}
    channel_id = post("alert_channel", "/v1/alert-channels", channel)
    post("alert_rule", "/v1/alert-rules", {"name": POLYGLOT, "channel_id": channel_id})
    monitor = {
        "type": "http",
        "name": POLYGLOT,
        "target": url,
        "description": POLYGLOT,
        "group": POLYGLOT[:60],
        "tags": [POLYGLOT[:60]],
        "interval_seconds": 10,
        "confirmations": 1,
        "body_match": POLYGLOT[:50] + "is not there",
    }
    monitor_id = post("monitor", "/v1/monitors", monitor)
    incident = {"title": POLYGLOT, "message": POLYGLOT, "monitor_id": monitor_id}
    post("incident", "/v1/incidents", incident)
    post("api_key", "/v1/api-keys", {"name": POLYGLOT, "scopes": ["monitors:read"]})
    window = {"title": POLYGLOT, "description": POLYGLOT, "cron": "0 2 * * *", "all": True}
    post("maintenance", "/v1/maintenance", window | {"duration_minutes": 60})
    instance.call("POST", f"/v1/alert-channels/{channel_id}/test")

    def told() -> Any:
        found = instance.ok("GET", f"/v1/alert-events?monitor_id={monitor_id}")
        return [each for each in found if each["attempts"]]

    (event, *_) = eventually("the monitor is down and somebody was told", told)
    made["alert_event"] = str(event["id"])
    return made


def test_no_script_of_others_runs(window: Opener, town: tuple[Instance, dict[str, str]]) -> None:
    instance, made = town
    view = window(bypass_csp=True, user_agent=POLYGLOT)
    view.context.add_init_script(LANDED)
    view.sign_in(instance.base, EMAIL, PASSWORD)
    seen = 0
    for route in routes_of(routes.ROUTES):
        if route not in PAGES or route.path in {"/live", "/metrics", "/healthz", "/readyz"}:
            continue
        nouns = {name: noun for name, noun in route.parameters.items() if noun}
        if not set(nouns.values()) <= made.keys() or len(nouns) < len(route.parameters):
            continue
        url = route.url({name: made[noun] for name, noun in nouns.items()})
        view.page.goto(instance.base + url)
        _nothing_ran(view.page, url)
        seen += POLYGLOT[:20] in view.page.content() or POLYGLOT[4:20] in view.page.inner_text(
            "body"
        )
    assert seen >= 10
    for url in (
        f"/{POLYGLOT}",
        f"/login?next=/{POLYGLOT}",
        f"/monitors?q={POLYGLOT}&told={POLYGLOT}",
    ):
        view.page.goto(instance.base + url.replace("#", "%23"))
        _nothing_ran(view.page, url)
    # A page that is not there is a 404, which the console tells of; nothing else is.
    assert [error for error in view.errors if "404" not in error] == []


def _nothing_ran(page: Any, url: str) -> None:
    # Whatever waits for focus, for loading to fail, or for a moment, gets it.
    page.evaluate(
        "() => { for (const each of document.querySelectorAll('*')) each.focus && each.focus(); }"
    )
    page.wait_for_timeout(50)
    assert page.evaluate("() => window.npRan === undefined"), url
    assert page.locator("[onload], [onerror], [onfocus]").count() == 0, url


def test_a_script_that_does_run_is_noticed(window: Opener, tmp_path: Path) -> None:
    """The trap works: the same text put into a page unescaped is caught."""
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><p>{POLYGLOT}</p>")
    view = window()
    view.context.add_init_script(LANDED)
    view.page.goto(page.as_uri())
    view.page.wait_for_timeout(200)
    assert view.page.evaluate("() => window.npRan === true")
