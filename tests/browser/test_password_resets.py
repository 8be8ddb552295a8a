"""A forgotten password in a real browser: from the sign-in page through the letter to a new one.

Over plain http and by name, as in a local network: there a browser says of a form only its Origin,
and not even that on a page that forbids naming a referrer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import chrome
from tests.browser.chrome import DESK, PHONE, Window
from tests.instance import EMAIL, Instance, eventually
from tests.mailbox import Mailbox, in_thread

HOST = "netpulse.lan"
NEW = "nine patient herons"


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with in_thread() as opened:
        yield opened


@pytest.fixture
def instance(tmp_path: Path, box: Mailbox) -> Iterator[Instance]:
    made = Instance(tmp_path / "data")
    environ = {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(box.port),
        "SMTP_FROM": "netpulse@example.com",
        "NETPULSE_SMTP_SECURITY": "none",
        "NETPULSE_SERVER_PUBLIC_URL": f"http://{HOST}:{made.port}",
    }
    try:
        made.start(environ=environ)
        made.register()
        yield made
    finally:
        made.close()


@pytest.fixture
def by_name(browser: Browser) -> Iterator[Browser]:
    """A browser that knows where the name leads."""
    with chrome.another(browser, f"--host-resolver-rules=MAP {HOST} 127.0.0.1") as found:
        yield found


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_the_whole_way(by_name: Browser, instance: Instance, box: Mailbox, scripts: bool) -> None:
    base = f"http://{HOST}:{instance.port}"
    window = Window(by_name, viewport=DESK if scripts else PHONE, java_script_enabled=scripts)
    page = window.page
    page.goto(f"{base}/login")
    page.get_by_role("link", name="Forgot your password?").click()
    page.get_by_label("Email address").fill(EMAIL)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("a letter with a link is on its way")
    (mail,) = eventually("the letter", lambda: box.messages)
    (link,) = re.findall(r"http\S+", mail.get_content())
    assert link.startswith(f"{base}/reset/")
    page.goto(link)
    expect(page.get_by_label("Account")).to_have_value(EMAIL)
    page.get_by_label("New password").fill(NEW)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{base}/login**")
    expect(
        page.get_by_text("Your new password is set, and all sign-ins have ended.")
    ).to_be_visible()
    page.get_by_label("Email address").fill(EMAIL)
    page.get_by_label("Password").fill(NEW)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{base}/dashboard")
    # It says so on every page without TLS that is not this machine's own.
    assert [each for each in window.errors if "Cross-Origin-Opener-Policy" not in each] == []
    page.goto(link)
    expect(page.get_by_text("This link is not complete, was used, or has expired")).to_be_visible()
    if scripts:
        assert window.too_wide() == 0
    window.close()
