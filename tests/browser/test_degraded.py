"""Without the encryption key every page says that nobody is told of anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import expect

from tests.browser.chrome import DESK, PHONE
from tests.browser.conftest import Opener
from tests.browser.test_axe import ALL, RUN
from tests.instance import EMAIL, PASSWORD, Instance, Site

WORDS = {
    "en-GB": "Nobody is told of anything. NetPulse runs without its encryption key since",
    "de-DE": "Niemand wird benachrichtigt. NetPulse läuft seit",
}


@pytest.mark.parametrize(
    ("language", "options"),
    [
        ("en-GB", {"viewport": DESK, "color_scheme": "light"}),
        ("en-GB", {"viewport": DESK, "color_scheme": "dark"}),
        ("de-DE", {"viewport": PHONE, "color_scheme": "light"}),
    ],
)
def test_the_banner_is_seen_wherever_one_goes(
    fresh: Instance, site: Site, window: Opener, language: str, options: dict[str, object]
) -> None:
    fresh.register()
    fresh.watch(site.url)
    channel = {"name": "Hook", "type": "webhook", "config": {"url": "https://hooks.example/x"}}
    channel_id = fresh.ok("POST", "/v1/alert-channels", channel)["id"]
    assert fresh.stop() == 0
    key: Path = fresh.data / "secret.key"
    key.unlink()
    fresh.start("--degraded")
    seen = window(locale=language, reduced_motion="reduce", **options)
    seen.sign_in(fresh.base, EMAIL, PASSWORD)
    banner = seen.page.locator(".np-keyless")
    for path in ("/dashboard", "/monitors", "/alerts", f"/alerts/channels/{channel_id}"):
        seen.page.goto(fresh.base + path)
        expect(banner).to_contain_text(WORDS[language])
        expect(banner).to_be_in_viewport()
        assert seen.too_wide() == 0, path
        seen.page.evaluate(AXE_SCRIPT)
        assert seen.page.evaluate(RUN, ["html", ALL]) == [], path
    assert seen.errors == []
