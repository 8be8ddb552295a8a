"""Take the pictures of docs/images from the demo: `make screenshots`, or
python tests/browser/screenshots.py.

Without arguments all are taken; --only NAME ... takes those of some pages, --to DIR writes them
elsewhere.
"""

from __future__ import annotations

import argparse
import base64
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pyotp
from playwright.sync_api import Browser, expect

from demo.company import CLOSED_PAGE, COLLEAGUE, OWNER, PAGE, PASSWORD, VIEWER
from tests.browser import chrome, gallery
from tests.browser.chrome import Window
from tests.browser.gallery import LOOKS, Look, Picture
from tests.demo import Demo
from tests.instance import ROOT, Instance, eventually

TARGET = ROOT / "docs" / "images"
FRONT = {
    "dashboard": "dashboard",
    "monitors": "monitors",
    "monitor-http": "monitor",
    "incident-open": "incident",
    "alerts": "alerts",
    "setup": "setup",
}
"""The pictures of the handbook, by the names in the gallery: PNG files of the desktop."""
VARIED = ("dashboard", "monitor")
"""Those of them that there are of the phone, and in the dark, too."""
QUALITY = 62
REFUSED = re.compile(f"/nowhere: .* 404|/status/{CLOSED_PAGE}: .* 401")
"""What a browser says of the page that is not there, and of the one that asks for a password."""
PLACE = {"locale": "en-GB", "timezone_id": "Europe/Berlin", "reduced_motion": "reduce"}


class Album:
    """Where the pictures go."""

    def __init__(self, to: Path) -> None:
        """Take the folder of the images."""
        self._to = to
        self.size = 0

    def take(self, window: Window, look: Look, name: str) -> None:
        """Take a picture of what the window shows, as high as the page is."""
        page = window.page
        # The side bar is as high as the window: a whole page needs a window of its height.
        height = int(page.evaluate("document.documentElement.scrollHeight"))
        height = max(look.viewport["height"], min(height, look.highest))
        page.set_viewport_size({"width": look.viewport["width"], "height": height})
        page.wait_for_timeout(250)  # the chart fits itself to the window
        path = self._to / "pages" / look.folder / f"{name}.webp"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Playwright's own pictures are PNG or JPEG; the browser makes smaller ones.
        session = page.context.new_cdp_session(page)
        answer = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
        session.detach()
        path.write_bytes(base64.b64decode(answer["data"]))
        self.size += path.stat().st_size
        front = FRONT.get(name)
        suffix = {"desktop": "", "desktop-dark": "-dark", "phone": "-phone"}.get(look.folder)
        if front and (suffix == "" or (suffix and front in VARIED)):
            page.screenshot(path=self._to / f"{front}{suffix}.png", animations="disabled")
        page.set_viewport_size(look.viewport)


HERE = """(found) => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    for (const [machine, plain] of found) {
      walk.currentNode.data = walk.currentNode.data.replaceAll(machine, plain);
    }
  }
}"""
"""Puts other words in place of what is this machine's alone."""


def shoot(window: Window, base: str, look: Look, picture: Picture, address: str) -> None:
    """Open a page and wait until it is as it will be."""
    page = window.page
    page.goto(base + address)
    state = page.locator("[data-live-state]")
    if state.count():
        expect(state).to_have_attribute("data-live-state", "on", timeout=30_000)
    if page.locator("#chart").count():
        drawn = page.locator("#chart canvas, #chart .np-chart-note").first
        expect(drawn).to_be_visible(timeout=30_000)
    page.evaluate(HERE, [[tempfile.gettempdir(), "/srv"], [platform.release(), "6.12"]])
    wide = window.too_wide()
    if wide > 0:
        print(f"{look.folder}/{picture.name} is {wide} pixels too wide", flush=True)


def known(demo: Demo) -> dict[str, str]:
    """Find what the addresses of pages are made of."""
    ok = demo.instance.ok
    monitors = {one["name"]: one["id"] for one in ok("GET", "/v1/monitors?limit=100")}
    told = eventually("a target fails", lambda: _acknowledging(demo), 120)
    incident = next(
        one
        for one in ok("GET", "/v1/incidents?limit=100")
        if one["title"].startswith("Checkout") and one["status"] == "identified"
    )
    over = next(
        one for one in ok("GET", "/v1/incidents?limit=100&page=1") if one["root_cause"] is not None
    )
    event = next(
        one
        for one in ok("GET", "/v1/alert-events?limit=100")
        if one["incident_id"] == incident["id"] and one["status"] == "sent"
    )
    pages = {one["slug"]: one["id"] for one in ok("GET", "/v1/status-pages")}
    news = ok("GET", f"/v1/status-pages/{pages[PAGE]}/announcements")
    people = {one["email"]: one["id"] for one in ok("GET", "/v1/org/members")}
    clients = ok("GET", "/v1/org/clients")
    subscribers = ok("GET", f"/v1/status-pages/{pages[PAGE]}/subscribers")
    demo.instance.call("POST", "/v1/auth/password/forgot", {"email": VIEWER})
    return {
        "shop": monitors["Shop front page"],
        "checkout": monitors["Checkout"],
        "portal": monitors["Customer portal"],
        "database": monitors["Orders database"],
        "names": monitors["Addresses of the shop"],
        "push": monitors["Invoice run"],
        "old": monitors["Old shop"],
        "incident": incident["id"],
        "over": over["id"],
        "event": event["id"],
        "acknowledge": told,
        "channel": ok("GET", "/v1/alert-channels")[0]["id"],
        "rule": ok("GET", "/v1/alert-rules")[0]["id"],
        "maintenance": ok("GET", "/v1/maintenance")[0]["id"],
        "page": pages[PAGE],
        "slug": PAGE,
        "closed_slug": CLOSED_PAGE,
        "announcement": news[0]["id"],
        "member": people[COLLEAGUE],
        "grantee": people[OWNER],
        "invitation": ok("GET", "/v1/org/invitations")[0]["id"],
        "invitation_token": _mailed(demo, "invitations"),
        "reset": _mailed(demo, "reset"),
        "key": ok("GET", "/v1/api-keys")[0]["id"],
        "client": clients[0]["id"],
        "subscriber": subscribers[0]["id"],
        "confirming": _mailed(demo, "subscriptions"),
        "ending": _mailed(demo, "subscriptions"),
        "session": ok("GET", "/v1/auth/sessions")[0]["id"],
    }


def _acknowledging(demo: Demo) -> str | None:
    for path in demo.notices.glob("*-chat.json"):
        found = re.search(r"/acknowledge/([\w.-]+)", path.read_text("utf-8"))
        if found:
            return found[1]
    return None


def _mailed(demo: Demo, word: str) -> str:
    """Return the token of the latest link of a kind that was sent by mail."""

    def look() -> str | None:
        for path in sorted(demo.mail.glob("*.eml"), reverse=True):
            message = message_from_bytes(path.read_bytes(), policy=policy.default)
            body = message.get_body(("plain",))
            found = re.search(rf"/{word}/([\w.-]+)", "" if body is None else body.get_content())
            if found:
                return found[1]
        return None

    return eventually(f"a letter with a link to {word}", look)


def subscribe(browser: Browser, base: str) -> None:
    """Ask for the news of the status page."""
    window = Window(browser)
    window.page.goto(f"{base}/status/{PAGE}/subscribe")
    window.page.fill("[name=address] >> nth=0", "reader@customer.example")
    window.page.click("main button[type=submit] >> nth=0")
    expect(window.page.locator("main")).to_contain_text("a letter is on its way")
    window.close()


def second_factor(demo: Demo) -> list[str]:
    """Turn the colleague's second factor on; returns the recovery codes."""
    mine, demo.instance.token = demo.instance.token, None
    try:
        sent = {"email": COLLEAGUE, "password": PASSWORD}
        demo.instance.token = demo.instance.ok("POST", "/v1/auth/login", sent)["access_token"]
        begun = demo.instance.ok("POST", "/v1/auth/2fa/setup")
        code = pyotp.TOTP(begun["secret"]).now()
        verified = demo.instance.ok("POST", "/v1/auth/2fa/verify", {"code": code})
    finally:
        demo.instance.token = mine
    codes: list[str] = verified["recovery_codes"]
    return codes


def signed_in(browser: Browser, base: str, email: str, code: str | None) -> Any:
    """Sign somebody in; returns what another window needs to be signed in too."""
    window = Window(browser, **PLACE)
    page = window.page
    page.goto(f"{base}/login")
    page.fill("[name=email]", email)
    page.fill("[name=password]", PASSWORD)
    page.click("main button[type=submit]")
    if code is not None:
        page.click("text=Use a recovery code")
        page.fill("[name=code]", code)
        page.click("main .btn-primary")
    page.wait_for_url(f"{base}/dashboard")
    state = window.context.storage_state()
    window.close()
    return state


@contextmanager
def windows(browser: Browser, look: Look, states: dict[str, Any]) -> Iterator[dict[str, Window]]:
    """Open a window for each who looks at pages."""
    opened = {
        who: Window(
            browser, viewport=look.viewport, color_scheme=look.scheme, storage_state=state, **PLACE
        )
        for who, state in states.items()
    }
    try:
        yield opened
    finally:
        for window in opened.values():
            window.close()


def take_setup(browser: Browser, data: Path, album: Album) -> None:
    """Take the pictures of the first page there is."""
    instance = Instance(data)
    try:
        instance.start()
        for look in LOOKS:
            with windows(browser, look, {"nobody yet": None}) as opened:
                window = opened["nobody yet"]
                shoot(window, instance.base, look, gallery.PICTURES["/setup"][0], "/setup")
                album.take(window, look, "setup")
    finally:
        instance.close()


def take_all(browser: Browser, demo: Demo, album: Album, wanted: list[Picture]) -> list[str]:
    """Take the pictures of everything else; returns what went wrong on the pages."""
    subscribe(browser, demo.instance.base)
    names = known(demo)
    codes = second_factor(demo)
    base = demo.instance.base
    states = {
        "owner": signed_in(browser, base, OWNER, None),
        "colleague": signed_in(browser, base, COLLEAGUE, codes[0]),
        "stranger": None,
    }
    errors: list[str] = []
    for look in LOOKS:
        began = time.monotonic()
        with windows(browser, look, states) as opened:
            for picture in wanted:
                window = opened[picture.who]
                shoot(window, base, look, picture, picture.address.format(**names))
                album.take(window, look, picture.name)
            for window in opened.values():
                errors += [each for each in window.errors if not REFUSED.search(each)]
        print(f"{look.folder}: {time.monotonic() - began:.0f} s", flush=True)
    return errors


def main() -> int:
    """Take them all."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--to", type=Path, default=TARGET, metavar="DIR")
    options.add_argument("--only", nargs="+", default=[], metavar="NAME")
    given = options.parse_args()
    if chrome.program() is None:
        print(chrome.HOW_TO_INSTALL)
        return 1
    everything = gallery.every()
    unknown = set(given.only) - {picture.name for picture in everything}
    if unknown:
        print(f"there is no page {', '.join(sorted(unknown))}")
        return 1
    wanted = [one for one in everything if not given.only or one.name in given.only]
    album = Album(given.to)
    with tempfile.TemporaryDirectory(prefix="np-") as folder, chrome.opened() as browser:
        if any(picture.name == "setup" for picture in wanted):
            take_setup(browser, Path(folder) / "fresh", album)
        rest = [picture for picture in wanted if picture.name != "setup"]
        errors: list[str] = []
        if rest:
            demo = Demo(Path(folder) / "demo")
            try:
                demo.start()
                errors = take_all(browser, demo, album, rest)
            finally:
                demo.close()
    (given.to / "README.md").write_text(gallery.index(), "utf-8")
    print(f"{len(wanted) * len(LOOKS)} pictures, {album.size / 1_000_000:.1f} MB")
    for error in errors:
        print(error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
