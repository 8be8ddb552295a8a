"""Live pages: what the stream says counts, however late a page comes that says otherwise."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playwright.sync_api import Route, expect

from tests.browser.conftest import Opener
from tests.instance import EMAIL, PASSWORD, Instance, eventually

PATIENCE = 20_000


class Hesitant:
    """A web site that answers once it is told to."""

    def __init__(self) -> None:
        self.told = told = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told.wait(30)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self.told.set()
        self._server.shutdown()
        self._server.server_close()


def test_an_old_copy_of_the_page_overwrites_no_event(peopled: Instance, window: Opener) -> None:
    seen, target = window(), Hesitant()
    page = seen.page
    try:
        seen.sign_in(peopled.base, EMAIL, PASSWORD)
        spec = {"type": "http", "name": "Slow to start", "target": target.url}
        made = peopled.ok("POST", "/v1/monitors", spec | {"timeout_seconds": 30})
        address = f"{peopled.base}/monitors/{made['id']}"
        copies: list[tuple[Route, Any]] = []

        def hold(route: Route) -> None:
            if route.request.is_navigation_request():
                route.continue_()
            else:
                copies.append((route, route.fetch()))

        page.route(address, hold)
        page.goto(address)
        status = page.locator("main [data-live=status]").first
        expect(status).to_have_text("Pending")
        # A page of a pending monitor asks for itself again when its stream stands.
        expect(page.locator("[data-live-state]")).to_have_text("Live", timeout=PATIENCE)
        eventually("the page asks for a copy", lambda: page.title() and copies)
        target.told.set()
        expect(status).to_have_text("Up", timeout=PATIENCE)
        for route, copy in copies:
            assert "Waiting for the first check" in copy.text()
            with page.expect_response(address):
                route.fulfill(response=copy)
        # Reading the copy takes the page a moment.
        page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
        expect(status).to_have_text("Up")
        assert seen.errors == []
    finally:
        target.close()


def test_the_button_that_acknowledges_goes_once_somebody_did(
    peopled: Instance, window: Opener
) -> None:
    seen = window()
    page = seen.page
    seen.sign_in(peopled.base, EMAIL, PASSWORD)
    for act, body in (
        ("acknowledge", None),
        ("updates", {"message": "Gone", "status": "resolved"}),
    ):
        made = peopled.ok("POST", "/v1/incidents", {"title": f"Ends by {act}"})
        page.goto(f"{peopled.base}/incidents/{made['id']}")
        button = page.locator("main form[action$='/acknowledge'] button")
        expect(button).to_be_visible()
        # Only a page whose stream is open hears of what others do.
        expect(page.locator("[data-live-state]")).to_have_text("Live", timeout=PATIENCE)
        peopled.ok("POST", f"/v1/incidents/{made['id']}/{act}", body)
        expect(button).to_have_count(0, timeout=PATIENCE)
