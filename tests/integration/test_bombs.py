"""20 monitors at bombs and endless bodies: nobody else waits for them, and memory stays."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from tests.bombs import both


@pytest.mark.slow
async def test_bombs_delay_nobody(tmp_path: Path) -> None:
    quiet, loud = await both(tmp_path, 8)
    assert (loud["bombs"], loud["up"]) == (20, 20)
    assert loud["checks"] > 100
    assert loud["rss_grown_mb"] < 50, loud
    # The bombs' host burns one of the machine's cores meanwhile; what our own loop adds is bound.
    for figure in ("healthy_late_ms", "healthy_took_ms", "loop_late_ms"):
        assert loud[figure]["median"] - quiet[figure]["median"] < 50, (figure, quiet, loud)
    # In one run: what a healthy check lasts by itself, in the turns beside the bombs and in those
    # between them. Bombs would be felt in each; in a single turn the machine may have stood still.
    assert loud["healthy_checks"] > 100
    for figure in ("healthy_lasted_ms", "healthy_late_ms", "loop_late_ms"):
        for part in ("median", "p90"):
            beside, alone = (
                statistics.median_low(turn[figure][part] for turn in loud["turns"][of])
                for of in ("beside", "alone")
            )
            assert beside - alone < 50, (figure, part, loud)
