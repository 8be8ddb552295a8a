"""A browser and a running NetPulse for the tests that look at its pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import chrome
from tests.browser.chrome import Window
from tests.instance import Instance, Sink, Site

VIEWER, VIEWERS_PASSWORD = "bob@example.com", "nineteen quiet herons"

Opener = Callable[..., Window]

in_three_windows = pytest.mark.parametrize(
    "options",
    [
        {"viewport": chrome.DESK},
        {"viewport": chrome.PHONE, "color_scheme": "dark"},
        {"viewport": chrome.PHONE, "java_script_enabled": False},
    ],
    ids=["desk", "phone", "no script"],
)
"""A test that is told what its windows are opened with."""

# Milliseconds. What is awaited comes at once on an idle machine; a loaded one takes its time.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium; the tests that need it are skipped without it."""
    if chrome.program() is None:
        pytest.skip(chrome.HOW_TO_INSTALL)
    with chrome.opened() as found:
        yield found


@pytest.fixture
def window(browser: Browser) -> Iterator[Opener]:
    """Open windows: `window(viewport=chrome.PHONE)`; all are closed at the end."""
    made: list[Window] = []

    def opened(**options: Any) -> Window:
        made.append(Window(browser, **options))
        return made[-1]

    yield opened
    for each in made:
        each.close()


@pytest.fixture
def site() -> Iterator[Site]:
    """A web site that is up."""
    found = Site().up()
    yield found
    found.down()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A webhook's receiver."""
    found = Sink()
    yield found
    found.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Instance]:
    """A NetPulse that nobody has set up."""
    instance = Instance(tmp_path / "data")
    try:
        yield instance.start()
    finally:
        instance.close()


@pytest.fixture(scope="module")
def peopled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A NetPulse with an administrator, a viewer, and one of everything."""
    instance = Instance(tmp_path_factory.mktemp("peopled") / "data")
    site, sink = Site().up(), Sink()
    try:
        instance.start()
        instance.register()
        instance.add_user(VIEWER, VIEWERS_PASSWORD, "viewer")
        _fill(instance, site, sink)
        yield instance
    finally:
        instance.close()
        sink.close()
        site.down()


def _fill(instance: Instance, site: Site, sink: Sink) -> None:
    for name, tags in (("Shop", ["prod"]), ("W" * 200, ["t" * 64, "u" * 64])):
        spec = {"type": "http", "name": name, "target": site.url, "tags": tags, "group": "g" * 100}
        instance.ok("POST", "/v1/monitors", spec)
    wide = "http://127.0.0.1:1/" + "path" * 100
    unwell = {"type": "http", "name": "Broken", "target": wide, "confirmations": 1}
    monitor = instance.ok("POST", "/v1/monitors", unwell)
    config = {"url": sink.url + "/" + "a" * 300}
    channel = {"type": "webhook", "name": "Ops " * 40, "config": config}
    channel_id = instance.ok("POST", "/v1/alert-channels", channel)["id"]
    rule = {"name": "Broken is down", "channel_id": channel_id, "condition": "down"}
    instance.ok("POST", "/v1/alert-rules", rule | {"monitor_id": monitor["id"]})
