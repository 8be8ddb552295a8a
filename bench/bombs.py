"""What 20 monitors at bombs and endless bodies cost 20 healthy ones, and the memory.

    python bench/bombs.py --seconds 20 --out bench/results

The same engine runs twice: without the bombs, and with them; the hosts are processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.measure import beside, keep  # noqa: E402  # the checkout, not an installed copy
from tests.bombs import both  # noqa: E402

DELAY_MS, GROWN_MB = 50, 50
"""By how much the bombs may delay others, and how much memory they may take."""


def added(quiet: dict[str, Any], loud: dict[str, Any]) -> dict[str, Any]:
    """Return by how much the bombs made it worse, in milliseconds at the 99th percentile."""
    grown = {
        f"{figure}_p99": round(loud[figure]["p99"] - quiet[figure]["p99"], 2)
        for figure in ("healthy_late_ms", "healthy_took_ms", "loop_late_ms")
    }
    return beside(grown, dict.fromkeys(grown, DELAY_MS))


def main() -> None:
    """Measure, print both, and keep the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--out", type=Path, help="directory for the results")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        quiet, loud = asyncio.run(both(Path(folder), chosen.seconds))
    for name, row in (("without", quiet), ("with", loud)):
        print(
            f"{name:>8} bombs: healthy checks begin {row['healthy_late_ms']['p99']} ms late (p99), "
            f"take {row['healthy_took_ms']['median']} ms (median), the loop is late by "
            f"{row['loop_late_ms']['p99']} ms (p99) and {row['loop_late_ms']['max']} ms at most, "
            f"RSS grows by {row['rss_grown_mb']} MB"
        )
    loud = beside(loud, {"rss_grown_mb": GROWN_MB})
    keep(chosen.out, "bombs", {"without": quiet, "with": loud, "added": added(quiet, loud)})


if __name__ == "__main__":
    main()
