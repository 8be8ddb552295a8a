"""What 20 monitors at bombs and endless bodies cost 20 healthy ones, and the memory.

    python bench/bombs.py --seconds 20 --out bench/results

The same engine runs twice: without the bombs, and with them; the hosts are processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.bombs import both  # noqa: E402  # the checkout, not an installed copy


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
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        report = {
            "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "command": "make bench",
            "machine": {
                "system": f"{platform.system()} {platform.machine()}",
                "python": platform.python_version(),
                "cores": os.cpu_count(),
            },
            "without": quiet,
            "with": loud,
        }
        (chosen.out / "bombs.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
