"""A headless Chromium that remembers every error it met."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

PHONE = {"width": 360, "height": 780}
DESK = {"width": 1280, "height": 900}

HOW_TO_INSTALL = (
    "no Chromium on this machine; as root: apt-get install chromium (make test does it as root)"
)


def program() -> str | None:
    """Return the browser of this machine, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def opened() -> Iterator[Browser]:
    """Open the browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=_sandbox())
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def another(beside: Browser, *options: str) -> Iterator[Browser]:
    """Open one more, with options of its own; there is one Playwright in a process."""
    browser = beside.browser_type.launch(executable_path=program(), args=[*_sandbox(), *options])
    try:
        yield browser
    finally:
        browser.close()


def _sandbox() -> list[str]:
    # It needs another user than root.
    return ["--no-sandbox"] if os.geteuid() == 0 else []


class Window:
    """A window of its own (no cookies of others), and all that went wrong in it."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(**({"viewport": DESK} | options))
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.errors: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.errors.append(f"{self.page.url}: {error}"))
        # A dialog of the browser's own is a script that came in with somebody's text.
        self.page.on("dialog", self._asked)

    def _heard(self, message: Any) -> None:
        # Policy violations come as errors; so do answers of 400 and above.
        if message.type in {"error", "warning"}:
            self.errors.append(f"{self.page.url}: {message.text}")

    def _asked(self, dialog: Any) -> None:
        self.errors.append(f"{self.page.url}: dialog {dialog.message}")
        dialog.dismiss()

    def sign_in(self, base: str, email: str, password: str) -> None:
        """Sign in, and wait for the dashboard."""
        self.page.goto(f"{base}/login")
        self.page.fill("[name=email]", email)
        self.page.fill("[name=password]", password)
        self.page.click("main button[type=submit]")
        self.page.wait_for_url(f"{base}/dashboard")

    def too_wide(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        return int(
            self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )

    def close(self) -> None:
        """Close the window."""
        self.context.close()
