"""One file a protocol: `async probe(spec, deadline, egress) -> Reading`. A probe measures and never
judges, and raises for nothing that a target does; what it raises is a mistake of our own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from netpulse.egress.connect import Egress
from netpulse.model.check import Reading
from netpulse.model.monitor import DnsSpec, TcpSpec
from netpulse.probes.begun import Begun
from netpulse.probes.certificate import probe as certificate_probe
from netpulse.probes.dns import begin as dns_begin
from netpulse.probes.dns import probe as dns_probe
from netpulse.probes.http import probe as http_probe
from netpulse.probes.icmp import probe as icmp_probe
from netpulse.probes.tcp import begin as tcp_begin
from netpulse.probes.tcp import probe as tcp_probe

Probe = Callable[[Any, float, Egress], Awaitable[Reading]]
"""Takes the spec of its own type, a moment of the event loop's clock, and the way out."""

PROBES: dict[str, Probe] = {
    "http": http_probe,
    "https": http_probe,
    "tcp": tcp_probe,
    "icmp": icmp_probe,
    "dns": dns_probe,
    "ssl": certificate_probe,
}
"""By the `type` word of the spec."""

BEGINNINGS: dict[type, Callable[[Any, Egress], Begun | None]] = {
    TcpSpec: tcp_begin,
    DnsSpec: dns_begin,
}
"""By the type of the spec: begins a check without a task; None where it has to be a task."""
