"""Take the pictures of docs/images: `make screenshots`, or python tests/browser/screenshots.py.

Without arguments all are taken; --to DIR writes them elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from playwright.sync_api import Browser, expect

from tests.browser import chrome, town
from tests.browser.chrome import DESK, PHONE, Window
from tests.instance import EMAIL, PASSWORD, ROOT, Instance, eventually

TARGET = ROOT / "docs" / "images"
HIGHEST = 1600
"""Pixels; what is below says no more than what is above."""


def take_setup(browser: Browser, data: Path, to: Path) -> None:
    """Take the picture of the first page there is."""
    instance = Instance(data)
    try:
        instance.start()
        window = Window(browser)
        window.page.goto(f"{instance.base}/setup")
        _shoot(window, to / "setup.png")
    finally:
        instance.close()


def take_town(browser: Browser, instance: Instance, to: Path) -> None:
    """Take the pictures of everything else."""
    instance.login()
    rows = instance.ok("GET", "/v1/monitors?limit=100")
    eventually(
        "every monitor is checked anew",
        lambda: all(
            row["last_check"] or row["is_paused"]
            for row in instance.ok("GET", "/v1/monitors?limit=100")
        ),
        90,
    )
    shop = next(row["id"] for row in rows if row["name"] == "Shop front page")
    incident = instance.ok("GET", "/v1/incidents?status=investigating")[0]["id"]
    update = {
        "message": "The payment provider rejects our key since 14:00; a new one is on its way.",
        "status": "identified",
    }
    instance.ok("POST", f"/v1/incidents/{incident}/updates", update)
    pages = {
        "dashboard": "/dashboard",
        "monitors": "/monitors",
        "monitor": f"/monitors/{shop}",
        "incident": f"/incidents/{incident}",
        "alerts": "/alerts",
    }
    varied = ("dashboard", "monitor")
    for suffix, names, options in (
        ("", tuple(pages), {"viewport": DESK}),
        ("-dark", varied, {"viewport": DESK, "color_scheme": "dark"}),
        ("-phone", varied, {"viewport": PHONE}),
    ):
        window = Window(browser, locale="en-GB", timezone_id="Europe/Berlin", **options)
        window.sign_in(instance.base, EMAIL, PASSWORD)
        for name in names:
            window.page.goto(instance.base + pages[name])
            expect(window.page.locator("[data-live-state]")).to_have_attribute(
                "data-live-state", "on"
            )
            if name == "monitor":
                expect(window.page.locator("#chart canvas")).to_be_visible()
            _shoot(window, to / f"{name}{suffix}.png")
        if window.errors:
            raise SystemExit("\n".join(window.errors))
        window.close()


def _shoot(window: Window, path: Path) -> None:
    page = window.page
    # The side bar is as high as the window: a whole page needs a window of its height.
    height = min(int(page.evaluate("document.documentElement.scrollHeight")), HIGHEST)
    width = page.evaluate("document.documentElement.clientWidth")
    before = page.viewport_size
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(300)  # the chart fits itself to the window
    page.screenshot(path=path, animations="disabled")
    if before is not None:
        page.set_viewport_size(before)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


def main() -> int:
    """Take them all."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--to", type=Path, default=TARGET, metavar="DIR")
    to: Path = options.parse_args().to
    if chrome.program() is None:
        print(chrome.HOW_TO_INSTALL)
        return 1
    to.mkdir(parents=True, exist_ok=True)
    servers = town.Servers()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "town"
        asyncio.run(town.build(data, servers, f"http://hooks.localhost:{servers.port}"))
        instance = Instance(data)
        try:
            instance.start()
            with chrome.opened() as browser:
                take_setup(browser, Path(folder) / "fresh", to)
                take_town(browser, instance, to)
        finally:
            instance.close()
            servers.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
