"""What others take for the same work, measured once on a machine of the same kind (2 cores)."""

from __future__ import annotations

from typing import NamedTuple


class Peer(NamedTuple):
    """One program at one size: processor time of a plain HTTP check, and what else was measured."""

    name: str
    size: str
    http_ms: float
    rss: str = ""
    lag: str = ""
    stored: str = ""


PEERS = (
    Peer("a C client that does nothing else (wrk)", "as many as it can", 0.069),
    Peer("blackbox exporter alone, asked by wrk", "as many as it can", 0.73, "25 MB"),
    Peer(
        "Prometheus and the exporter",
        "1,000 at 10 s",
        2.6,
        "233 MB",
        "4 ms",
        "190 (log, not packed)",
    ),
    Peer("Prometheus and the exporter", "5,000 at 10 s", 1.7, "787 MB", "10 ms"),
    Peer("Gatus 5.2, SQLite", "1,000 at 10 s", 2.3, "42 MB", "", "119 (the last 100)"),
    Peer("Nagios, check_http", "1,000 at 10 s", 3.3, "28 MB", "", "none"),
    Peer("Icinga 2, check_http", "1,000 at 10 s", 4.9, "64 MB", "", "none"),
    Peer("Uptime Kuma 2.5, SQLite", "1,000 at 20 s", 5.9, "318 MB", "26 ms", "167 to 183"),
    Peer("Uptime Kuma 2.5, SQLite", "2,000 at 20 s", 5.4, "347 MB", "43 ms", "167 to 183"),
)

OF_OTHER_KINDS = (
    ("https", "blackbox exporter alone, asked by wrk", 1.47),
    ("https", "Uptime Kuma 2.5, 1,000 at 20 s", 11.5),
    ("https", "a verified handshake in C (openssl s_time): the floor", 1.09),
    ("tcp", "blackbox exporter alone, asked by wrk", 0.39),
    ("dns", "blackbox exporter alone, asked by wrk", 0.50),
    ("icmp", "blackbox exporter alone, asked by wrk", 0.52),
    ("icmp", "fping, 10,000 addresses", 0.06),
)
"""Type of check, program, milliseconds of processor time a check."""

READING = (
    "Uptime Kuma's dashboard took 6 to 8 s with 1,000 monitors and 21 to 35 s with 2,000, after",
    "which it held 492 and 864 MB; its status page took 1.5 and 10 s the first time. Reading",
    "everything from Prometheus took 25 ms (p99) with 1,000 targets and 561 ms with 5,000.",
)
