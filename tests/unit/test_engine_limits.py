"""How many checks run at once."""

from __future__ import annotations

import resource

import pytest

from netpulse.engine import limits


@pytest.mark.parametrize(
    ("open_files", "checks"),
    [(256, 96), (1_024, 480), (65_536, 8_192), (64, 8), (0, 8), (16_448, 8_192)],
)
def test_what_the_file_limit_leaves_room_for(open_files: int, checks: int) -> None:
    assert limits.checks_at_once(open_files) == checks


@pytest.mark.parametrize(
    ("open_files", "connections"), [(256, 96), (1_024, 480), (65_536, 32_736), (64, 8), (0, 8)]
)
def test_how_many_may_be_connected(open_files: int, connections: int) -> None:
    assert limits.connections_at_once(open_files) == connections


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 256), hard))
    try:
        raised = limits.raise_file_limit()
        assert raised == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert raised == min(hard, limits.WANTED_FILES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
