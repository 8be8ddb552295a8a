"""20 monitors at bombs and endless bodies: nobody else waits for them, and memory stays."""

from __future__ import annotations

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
    for figure in ("healthy_late_ms", "loop_late_ms"):  # what a check takes is the machine's too
        assert loud[figure]["p99"] - quiet[figure]["p99"] < 50, (figure, quiet, loud)
    # In one run: what a healthy check lasts by itself, beside the bombs and between them.
    alone = loud["alone"]
    assert loud["healthy_checks"] > 100
    for figure in ("healthy_lasted_ms", "healthy_late_ms", "loop_late_ms"):
        for part in ("median", "p90"):
            assert loud[figure][part] - alone[figure][part] < 50, (figure, part, loud)
