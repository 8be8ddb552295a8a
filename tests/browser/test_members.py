"""Somebody is invited, joins, gets another role and is removed, as both sides see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.browser.chrome import Window
from tests.browser.conftest import Opener, in_three_windows
from tests.instance import EMAIL, PASSWORD, Instance

DORA, HERS = "dora@example.com", "nine quiet pelicans"


def unexpected(window: Window) -> list[str]:
    """Return what went wrong, but for the answers that were asked for."""
    return [each for each in window.errors if "responded with a status of 4" not in each]


@in_three_windows
def test_invited_joined_raised_removed(
    fresh: Instance, window: Opener, tmp_path: Path, options: dict[str, Any]
) -> None:
    fresh.register()
    base = fresh.base
    scripted = options.get("java_script_enabled", True)
    first, second = window(**options), window(**options)
    page, hers = first.page, second.page

    # The inviter gets a link to pass on; no mail server is configured.
    first.sign_in(base, EMAIL, PASSWORD)
    page.goto(f"{base}/settings")
    assert page.url == f"{base}/settings/organization"
    page.click("nav[aria-label=Settings] >> text=Members")
    page.fill("[name=email]", DORA)
    page.click("main button:has-text('Invite')")
    link = page.input_value("#link")
    assert link.startswith(f"{base}/invitations/")
    expect(page.locator("#made")).to_contain_text("no mail server is configured")
    expect(page.locator("main")).to_contain_text("Invitations not accepted yet")
    assert first.too_wide() == 0
    page.screenshot(path=tmp_path / "invited.png", full_page=True)
    if scripted:
        page.click("[data-copy=link]")
        expect(page.locator("[data-copy=link]")).to_have_text("Copied")

    # The invited chooses a password, and is in.
    hers.goto(link)
    expect(hers.locator("h1")).to_have_text("Join Acme")
    expect(hers.locator("main")).to_contain_text(f"{EMAIL} invites {DORA}")
    assert second.too_wide() == 0
    hers.screenshot(path=tmp_path / "invitation.png", full_page=True)
    hers.fill("[name=password]", HERS)
    hers.click("main button[type=submit]")
    hers.wait_for_url(f"{base}/dashboard*")
    expect(hers.locator("#flash")).to_contain_text("You are in. Welcome.")
    hers.goto(f"{base}/monitors")
    expect(hers.locator("a[href='/monitors/new']")).to_have_count(0)
    hers.goto(f"{base}/settings/members")
    expect(hers.locator("main")).to_contain_text(EMAIL)
    expect(hers.locator("main button")).to_have_count(0)
    expect(hers.locator("nav[aria-label=Settings] a")).to_have_text(
        ["Organization", "Members", "Retention", "About"]
    )

    # A raised role shows at the next click.
    page.goto(f"{base}/settings/members")
    row = page.locator("tr", has_text=DORA)
    expect(row).to_contain_text("Viewer")
    row.locator("a:has-text('Change')").click()
    page.select_option("[name=role]", "admin")
    assert first.too_wide() == 0
    page.screenshot(path=tmp_path / "member.png", full_page=True)
    page.click("main button:has-text('Save')")
    expect(page.locator("tr", has_text=DORA)).to_contain_text("Administrator")
    hers.goto(f"{base}/monitors")
    expect(hers.locator("a[href='/monitors/new']").first).to_be_visible()

    # She makes a key, which is shown this once and goes with her.
    hers.goto(f"{base}/settings/api-keys")
    hers.click("text=Make a key >> nth=0")
    hers.fill("[name=name]", "Deploy")
    hers.check("[name=scopes][value='monitors:write']")
    assert second.too_wide() == 0
    hers.click("main button:has-text('Make the key')")
    key = hers.input_value("#key")
    assert second.too_wide() == 0
    hers.screenshot(path=tmp_path / "key.png", full_page=True)
    status, _, _ = fresh.call("GET", "/v1/monitors", None, {"X-API-Key": key})
    assert status == 200
    hers.goto(f"{base}/settings/api-keys")
    assert key not in hers.content()

    # Removed, she is out at her next click, and her key with her.
    page.locator("tr", has_text=DORA).locator("a:has-text('Change')").click()
    page.click("main a:has-text('Remove from the organization')")
    asked = page.locator("[data-confirm-body]")
    expect(asked).to_contain_text(f"Remove {DORA} from the organization?")
    expect(asked).to_contain_text("1 API key that they made is revoked: Deploy.")
    asked.locator("button[type=submit]").click()
    expect(page.locator("#flash")).to_contain_text("Removed. They are out at once.")
    expect(page.locator("tr", has_text=DORA)).to_have_count(0)
    status, _, _ = fresh.call("GET", "/v1/monitors", None, {"X-API-Key": key})
    assert status == 401
    hers.goto(f"{base}/monitors")
    assert "/login" in hers.url
    assert unexpected(first) == []
    assert unexpected(second) == []
