"""Pages in another language: what the server says and what the scripts say, and a choice that lasts."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.chrome import PHONE
from tests.browser.conftest import Opener
from tests.instance import EMAIL, PASSWORD, Instance

PAGES = (
    "/dashboard",
    "/monitors",
    "/monitors/new",
    "/incidents?status=all",
    "/alerts",
    "/alerts/rules/new",
    "/alerts/channels/new?type=email",
    "/maintenance/new",
    "/status-pages/new",
    "/settings/organization",
    "/settings/members",
    "/settings/security",
    "/settings/retention",
    "/settings/about",
    "/profile",
)
FACTS = """[...document.querySelectorAll(".np-facts")].filter((one) => one.clientWidth).map((one) =>
    one.querySelector("dd").offsetWidth / one.clientWidth)"""
"""Which share of its list the facts of each have."""


def test_german(peopled: Instance, window: Opener) -> None:
    seen = window(viewport=PHONE, locale="de-DE", timezone_id="Europe/Berlin")
    page = seen.page
    page.goto(f"{peopled.base}/login")
    expect(page.get_by_role("button", name="Anmelden")).to_be_visible()
    seen.sign_in(peopled.base, EMAIL, PASSWORD)

    # The scripts' words: live, relative and absolute times, what is chosen.
    expect(page.locator("[data-live-state]")).to_have_text("Live")
    page.goto(f"{peopled.base}/monitors")
    checked = page.locator("time[data-live=checked_at][datetime]").first
    expect(checked).to_have_text(re.compile(r"^(gerade eben|vor \d+ (s|min))$"))
    page.locator("[name=monitor_ids]").first.check()
    expect(page.locator("[data-choose-count]")).to_have_text("1 gewählt")
    page.goto(f"{peopled.base}/profile")
    signed = page.locator("dd time").first
    expect(signed).to_have_text(re.compile(r"^\d\d\.\d\d\.\d{4}, \d\d:\d\d:\d\d$"))

    # The long words fit on a phone.
    for path in PAGES:
        page.goto(peopled.base + path)
        assert page.evaluate("document.documentElement.lang") == "de", path
        assert seen.too_wide() <= 0, path
        # What a fact is called leaves room for the fact.
        assert min(page.evaluate(FACTS), default=1) > 0.4, path

    # A choice stands above what the browser asks for, and lasts.
    page.goto(f"{peopled.base}/profile")
    page.select_option("[name=language]", "en")
    page.locator("form[action='/profile/language'] button").click()
    expect(page.locator("#flash")).to_contain_text("Saved.")
    expect(page.locator("h1")).to_have_text("Your account")
    page.goto(f"{peopled.base}/monitors")
    expect(checked).to_have_text(re.compile(r"^(just now|\d+ (s|min) ago)$"))
    assert seen.errors == []
