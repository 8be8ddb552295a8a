"""Prometheus with its blackbox exporter on the same http targets, from the system's packages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.fleet import far_side, installed
from bench.measure import TIED, cpu_seconds, end, free_port, hold, own_phases, resident_mb

PROGRAMS = "prometheus", "prometheus-blackbox-exporter"
MODULES = {"modules": {"http": {"prober": "http", "http": {"preferred_ip_protocol": "ip4"}}}}


def versions() -> list[str] | None:
    """Return what both say of themselves; None where one is not installed."""
    said = []
    for program in _programs():
        if program is None:
            return None
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        said.append((told.stdout + told.stderr).splitlines()[0])
    return said


def _programs() -> list[str | None]:
    return [installed(name, "usr/bin") for name in PROGRAMS]


async def run(count: int, interval: int, seconds: int) -> dict[str, Any]:
    """Have them check `count` targets, and return the same figures as for NetPulse."""
    main, exporting = _programs()
    assert main is not None
    assert exporting is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with far_side("http", folder) as far:
            modules = folder / "modules.json"
            modules.write_text(json.dumps(MODULES))
            asked, port = free_port(), free_port()
            settings = folder / "prometheus.json"
            settings.write_text(json.dumps(_settings(far.port, asked, count, interval)))
            exporter = subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
                [
                    *(*TIED, exporting),
                    f"--config.file={modules}",
                    f"--web.listen-address=127.0.0.1:{asked}",
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            prometheus = subprocess.Popen(  # noqa: ASYNC220  # before anything is measured
                [
                    *(*TIED, main),
                    f"--config.file={settings}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            both = exporter, prometheus
            try:
                await asyncio.sleep(interval + 5)
                began = time.time()
                cpu = [cpu_seconds(each.pid) for each in both]
                await asyncio.sleep(seconds)
                used = [cpu_seconds(each.pid) for each in both]
                ended = time.time()
                memory = [resident_mb(each.pid) for each in both]
            finally:
                with contextlib.ExitStack() as ending:
                    for each in both:
                        ending.callback(end, each)
        # Their first scrapes count for the phase too: it does not change.
        arrivals = far.arrivals()
        found = hold(own_phases(arrivals, interval), arrivals, began, ended, interval)
    seen = max(1, found["checks_seen"])
    parts = [after - before for before, after in zip(cpu, used, strict=True)]
    return found | {
        "monitors": count,
        "interval_seconds": interval,
        "seconds": round(ended - began, 1),
        "cpu_us_per_check": round(sum(parts) / seen * 1e6),
        "cpu_us_per_check_exporter": round(parts[0] / seen * 1e6),
        "cpu_us_per_check_prometheus": round(parts[1] / seen * 1e6),
        "rss_mb": round(sum(memory), 1),
    }


def _settings(target: int, exporter: int, count: int, interval: int) -> dict[str, Any]:
    """Return a configuration as the exporter's handbook has it. YAML reads JSON."""
    return {
        "global": {"scrape_interval": f"{interval}s", "scrape_timeout": "5s"},
        "scrape_configs": [
            {
                "job_name": "bench",
                "metrics_path": "/probe",
                "params": {"module": ["http"]},
                "static_configs": [
                    {"targets": [f"http://127.0.0.1:{target}/{n}" for n in range(count)]}
                ],
                "relabel_configs": [
                    {"source_labels": ["__address__"], "target_label": "__param_target"},
                    {"source_labels": ["__param_target"], "target_label": "instance"},
                    {"target_label": "__address__", "replacement": f"127.0.0.1:{exporter}"},
                ],
            }
        ],
    }
