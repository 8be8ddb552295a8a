"""Every page under axe-core, in both themes, at a desk and on a phone: nobody is kept out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyotp
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, expect

from tests.browser import every_page
from tests.browser.chrome import DESK, PHONE, Window
from tests.browser.every_page import BOB, BOBS_PASSWORD, Filled
from tests.instance import EMAIL, PASSWORD

HEAVIEST = 30_000
"""Bytes on the wire of a page itself, for whoever has the rest already."""
STRANGERS = (
    "/login",
    "/forgot",
    "/reset/",
    "/acknowledge/",
    "/invitations/",
    "/status/{",
    "/subscriptions/",
)
"""Pages that are for whoever is not signed in."""

COLOURS = ["color-contrast", "link-in-text-block"]
ALL: dict[str, Any] = {"resultTypes": ["violations"]}
OF_COLOURS = ALL | {"runOnly": {"type": "rule", "values": COLOURS}}
BUT_COLOURS = ALL | {"rules": {each: {"enabled": False} for each in COLOURS}}

RUN = """([within, options]) => axe.run(within, options).then((found) => found.violations.flatMap(
  (rule) => rule.nodes.map((node) => ({ rule: rule.id, impact: rule.impact,
    where: node.target.flat().join(" "), html: node.html.slice(0, 300), why: node.failureSummary }))))"""
UNFOLD = """() => {
  // Of many of a kind a few will do.
  for (const fold of [...document.querySelectorAll("main details")].slice(0, 4)) fold.open = true;
  for (const field of document.querySelectorAll(".np-off")) {
    field.classList.remove("np-off");
    field.disabled = false;
  }
}"""
THEME = """(theme) => document.documentElement.dispatchEvent(
  new CustomEvent("np:theme-choice", { detail: theme }))"""


class Auditor:
    """A browser that holds each page it is shown against axe's rules, and keeps what was found."""

    def __init__(self, browser: Browser, base: str) -> None:
        # Where something moves, colours would be measured on their way.
        self.window = Window(browser, color_scheme="light", reduced_motion="reduce")
        self.page: Page = self.window.page
        self.base = base
        self.found: list[str] = []
        self._seen: set[str] = set()
        self._framed = False

    def open(self, path: str) -> None:
        """Open a page and look at it, unless it led to one that was looked at."""
        answer = self.page.goto(self.base + path)
        assert answer is not None
        weight = answer.request.sizes()["responseBodySize"]
        if weight > HEAVIEST:
            self.found.append(f"{path}: {weight} bytes on the wire")
        if self.page.url not in self._seen:
            self._seen.add(self.page.url)
            self.look(path)

    def look(self, name: str, unfold: str = UNFOLD) -> None:
        """Look at the page as it is: light and dark, and on a phone. What is folded is opened."""
        page = self.page
        # What waits for an answer is paler meanwhile.
        expect(page.locator(".htmx-request")).to_have_count(0, timeout=15_000)
        page.evaluate(AXE_SCRIPT)
        page.evaluate(unfold)
        self._note(f"{name} (light)", ALL, "html")
        # What is around it is the same on every page.
        within = "main" if self._framed else "html"
        self._framed = self._framed or page.locator(".np-top").count() > 0
        page.evaluate(THEME, "dark")
        self._note(f"{name} (dark)", OF_COLOURS, within)
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # a dict of the two
        self._note(f"{name} (phone)", BUT_COLOURS, within)
        if too_wide := self.window.too_wide():
            self.found.append(f"{name} (phone): {too_wide} pixels too wide")
        page.set_viewport_size(DESK)  # type: ignore[arg-type]
        page.evaluate(THEME, "light")

    def approve(self) -> None:
        """Fail with all that was found, and with what the browser complained of."""
        heard = [each for each in self.window.errors if "responded with a status of 4" not in each]
        assert not self.found + heard, "\n\n".join(self.found + heard)

    def _note(self, name: str, options: dict[str, Any], within: str) -> None:
        for each in self.page.evaluate(RUN, [within, options]):
            self.found.append("{} {rule} ({impact}): {where}: {html}: {why}".format(name, **each))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with every_page.filled(tmp_path_factory.mktemp("every-page") / "data") as found:
        yield found


@pytest.fixture
def auditor(browser: Browser, world: Filled) -> Iterator[Auditor]:
    found = Auditor(browser, world.base)
    yield found
    found.window.close()


@pytest.mark.timeout(300)
def test_every_page(auditor: Auditor, world: Filled) -> None:
    templates = every_page.templates()
    assert len(templates) > 70
    apart = [each for each in templates if each.startswith(STRANGERS)]
    for template in apart:
        auditor.open(world.address(template))
    auditor.window.sign_in(world.base, EMAIL, PASSWORD)
    for template in templates:
        if template not in apart:
            auditor.open(world.address(template))
    for path in world.more:
        auditor.open(path)
    auditor.approve()


@pytest.mark.timeout(300)
def test_what_pages_become(auditor: Auditor, world: Filled) -> None:
    """Answers to forms, open menus and dialogs, lists without anything."""
    page, base = auditor.page, world.base
    page.goto(f"{base}/login")
    page.fill("[name=email]", EMAIL)
    page.fill("[name=password]", "wrong")
    page.click("main button[type=submit]")
    expect(page.locator("#form-errors")).to_be_visible()
    auditor.look("a refused sign-in")
    auditor.window.sign_in(base, EMAIL, PASSWORD)

    page.goto(f"{base}/monitors/new")
    page.fill("[name=name]", "Nowhere")
    page.fill("[name=target]", "not a target")
    page.locator("[name=target]").press("Enter")
    expect(page.locator("#form-errors")).to_be_visible()
    auditor.look("a refused form")
    page.goto(f"{base}/monitors/new")
    page.select_option("[name=type]", "http")
    page.fill("[name=name]", "Shop")
    page.fill("[name=target]", world.site.url)
    page.click("[data-test]")
    expect(page.locator("#test-result section")).to_be_visible()
    auditor.look("a test", "() => {}")
    page.goto(f"{base}/alerts/rules/new")
    page.fill("[name=name]", "Slow")
    page.fill("[name=condition]", "response_time_ms > > 800 and down and certificate_days < 14")
    page.locator("[name=name]").press("Enter")
    expect(page.locator("#form-errors")).to_be_visible()
    page.click("summary:has-text('Advanced')")
    page.click("[data-test]")
    auditor.look("a refused rule")
    page.goto(f"{base}/monitors/add-many")
    page.fill("[name=text]", "https://one.example/\nnot a target at all\n")
    page.click("main form button[type=submit] >> nth=0")
    expect(page.locator("main table")).to_be_visible()
    auditor.look("a list before it is added")

    page.goto(f"{base}/monitors/{world.ids['/monitors/']}")
    page.click(".np-user summary")
    expect(page.get_by_role("button", name="Dark")).to_be_visible()
    auditor.look("the account's menu")
    page.keyboard.press("Escape")
    page.click("a[data-confirm]")
    expect(page.locator("#np-dialog")).to_be_visible()
    auditor.look("a question in a dialog")
    page.goto(f"{base}/monitors?sort=name")
    page.check("[data-choose-page]")
    auditor.look("chosen monitors")
    page.select_option("#bulk [name=action]", "delete")
    page.click("#bulk button")
    auditor.look("a question about many")

    for path in (
        "/monitors?q=nothing",
        "/settings/audit?q=nothing",
        "/no/such/page",
        "/switch?q=x",
    ):
        page.goto(base + path)
        auditor.look(path)
    page.goto(f"{base}/settings/api-keys/new")
    page.fill("[name=name]", "Once")
    page.check("main form [name=scopes] >> nth=0")
    page.click("main form button[type=submit]")
    auditor.look("a key that is shown once")
    page.goto(f"{base}/switch")
    page.click("main button:has-text('Corner Shop')")
    for path in (
        "/dashboard",
        "/monitors",
        "/incidents",
        "/alerts",
        "/maintenance",
        "/status-pages",
        "/settings/members",
        "/settings/api-keys",
    ):
        page.goto(base + path)
        auditor.look(f"an empty {path}")
    auditor.approve()


def test_a_second_factor(auditor: Auditor, world: Filled) -> None:
    page, base = auditor.page, world.base
    auditor.window.sign_in(base, BOB, BOBS_PASSWORD)
    page.goto(f"{base}/profile/two-factor")
    page.fill("main [name=password]", BOBS_PASSWORD)
    page.click("main form button[type=submit]")
    secret = pyotp.TOTP(page.locator(".np-secret").inner_text().replace(" ", ""))
    auditor.look("the secret for an app")
    page.fill("main [name=code]", secret.now())
    page.click("main form button[type=submit]")
    expect(page.locator(".np-codes")).to_be_visible()
    auditor.look("recovery codes")
    for path in ("/profile/two-factor", "/profile/two-factor/codes", "/profile/two-factor/off"):
        auditor.open(path)
    auditor.open("/dashboard")
    page.context.clear_cookies()
    page.goto(f"{base}/login")
    page.fill("[name=email]", BOB)
    page.fill("[name=password]", BOBS_PASSWORD)
    page.click("main button[type=submit]")
    expect(page.locator("main [name=code]")).to_be_visible()
    auditor.look("a one-time code at sign-in")
    auditor.approve()
