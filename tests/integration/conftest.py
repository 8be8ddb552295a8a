"""What stories in virtual time, and outboxes filled by hand, begin with."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clock import FakeClock
from tests.home import home, now
from tests.post import Post
from tests.world import Opener, Story, World, lived


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=now(), monotonic=time.monotonic())


@pytest.fixture
def opened(tmp_path: Path, clock: FakeClock) -> Opener:
    """Start a process over the same data with the same clock, as often as a test likes."""
    world = World()
    return lambda: lived(tmp_path / "data", clock, world)


@pytest.fixture
async def story(opened: Opener) -> AsyncIterator[Story]:
    async with opened() as one:
        yield one


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    async with home(tmp_path / "data", start=False) as at:
        opened = Post(at)
        yield opened
        await opened.close()
