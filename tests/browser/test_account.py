"""A person and their own account: from a password alone to two factors, and back in without them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyotp
from playwright.sync_api import Page, expect

from tests.browser.chrome import Window
from tests.browser.conftest import Opener, in_three_windows
from tests.instance import EMAIL, PASSWORD, Instance

NEW = "nineteen polite walruses"


def unexpected(window: Window) -> list[str]:
    """Return what went wrong, but for the answers that were asked for."""
    return [each for each in window.errors if "responded with a status of 4" not in each]


def code(secret: str, ahead: int = 0) -> str:
    """Return the code that an app shows now, or `ahead` steps later, which counts already."""
    return pyotp.TOTP(secret).at(int(time.time()), counter_offset=ahead)


def turn_on(page: Page, base: str) -> tuple[str, list[str]]:
    """Turn the second factor on; returns the secret and the recovery codes."""
    page.goto(f"{base}/profile")
    page.click("text=Turn on two-factor authentication")
    page.fill("[name=password]", PASSWORD)
    page.click("main button[type=submit]")
    expect(page.locator(".np-qr")).to_be_visible()
    secret = page.locator("#secret").text_content() or ""
    page.fill("[name=code]", "000000")
    page.click("text=Turn it on")
    expect(page.locator("#form-errors")).to_contain_text("not the code that your app should show")
    assert page.locator("#secret").text_content() == secret
    page.fill("[name=code]", code(secret))
    page.click("text=Turn it on")
    expect(page.locator("#codes")).to_be_visible()
    return secret, (page.locator("#codes").text_content() or "").split()


def to_the_second_step(page: Page, base: str, path: str = "/login") -> None:
    page.goto(f"{base}{path}")
    page.fill("[name=email]", EMAIL)
    page.fill("[name=password]", PASSWORD)
    page.click("main button[type=submit]")
    expect(page.locator("h1")).to_have_text("Second step")


@in_three_windows
def test_two_factors(
    fresh: Instance, window: Opener, tmp_path: Path, options: dict[str, Any]
) -> None:
    fresh.register()
    base = fresh.base
    first, second = window(**options), window(**options)
    page = first.page
    first.sign_in(base, EMAIL, PASSWORD)
    secret, recovery = turn_on(page, base)
    assert len(recovery) == 10
    assert first.too_wide() == 0
    with page.expect_download() as download:
        page.click("a[download]")
    saved = tmp_path / "codes.txt"
    download.value.save_as(saved)
    assert saved.read_text().split()[-10:] == recovery
    if options.get("java_script_enabled", True):
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.click("[data-copy=codes]")
        expect(page.locator("[data-copy=codes]")).to_have_text("Copied")
        copied = str(page.evaluate("navigator.clipboard.readText()"))
        assert copied.split() == recovery
    page.click("text=I have kept them")
    expect(page.locator("main")).to_contain_text("Two-factor authentication is on")

    # In with a code, and to where one wanted to go.
    other = second.page
    to_the_second_step(other, base, "/monitors?status=down")
    assert second.too_wide() == 0
    other.fill("[name=code]", "12")
    other.keyboard.press("Enter")
    expect(other.locator("#form-errors")).to_contain_text("This code is wrong, or was used before")
    other.fill("[name=code]", code(secret, 1))
    other.keyboard.press("Enter")
    other.wait_for_url(f"{base}/monitors?status=down")

    # In with a recovery code, which ends what was open.
    page.goto(f"{base}/profile/sessions")
    assert first.too_wide() == 0
    expect(page.locator("tbody tr")).to_have_count(2)
    third = window(**options)
    to_the_second_step(third.page, base)
    third.page.click("text=Use a recovery code")
    third.page.fill("[name=code]", recovery[0].upper())
    third.page.click("main .btn-primary")
    third.page.wait_for_url(f"{base}/dashboard")
    page.goto(f"{base}/profile")
    assert page.url == f"{base}/login?next=/profile"

    # Off again, with another one.
    page = third.page
    page.goto(f"{base}/profile/two-factor")
    expect(page.locator("main")).to_contain_text("9 recovery codes are left")
    page.click("text=Turn it off")
    page.fill("[name=password]", PASSWORD)
    page.fill("[name=code]", recovery[1])
    page.click("main .btn-danger")
    expect(page.locator("#flash")).to_contain_text("Two-factor authentication is off")
    for each in (first, second, third):
        assert unexpected(each) == []


def test_a_session_that_is_ended_notices_at_once(fresh: Instance, window: Opener) -> None:
    fresh.register()
    base = fresh.base
    here, there = window(), window()
    for each in (there, here):
        each.sign_in(base, EMAIL, PASSWORD)
    state = there.page.locator("[data-live-state]")
    expect(state).to_have_attribute("data-live-state", "on")
    page = here.page
    page.goto(f"{base}/profile/sessions")
    page.locator("tbody tr", has_not_text="this one").locator("a", has_text="End").first.click()
    dialog = page.locator("#np-dialog")
    expect(dialog).to_contain_text("Whoever uses it has to sign in again.")
    dialog.locator("button", has_text="End it").click()
    expect(page.locator("#flash")).to_contain_text("Ended.")
    expect(state).to_have_attribute("data-live-state", "out", timeout=15_000)

    # A change of the password keeps this one, under another token.
    page.goto(f"{base}/profile/password")
    page.fill("[name=current_password]", PASSWORD)
    page.fill("[name=new_password]", NEW)
    page.fill("[name=again]", NEW)
    page.click("main button[type=submit]")
    expect(page.locator("#flash")).to_contain_text("Your password is changed")
    expect(page.locator("[data-live-state]")).to_have_attribute("data-live-state", "on")
    again = window()
    again.sign_in(base, EMAIL, NEW)
    assert unexpected(here) == []
