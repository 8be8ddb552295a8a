"""What systemd is told (sd_notify(3)): ready, stopping, alive. A datagram, no library needed."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)


def notify(state: str) -> bool:
    """Send `state` ("READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=...") to the service manager.

    Returns whether one listens: False outside a systemd unit of Type=notify. A manager that does
    not answer is logged and is no reason to stop monitoring.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return False
    if path[0] == "@":  # an abstract socket
        path = "\0" + path[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.connect(path)
            sender.send(state.encode())
    except OSError as error:
        log.warning("systemd was not told %r: %s", state, error)
        return False
    return True


def watchdog_seconds() -> float | None:
    """Return how often to send WATCHDOG=1 (half of WatchdogSec), or None when it is not wanted."""
    micros = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "")
    # A one-file executable was started as our parent, whose process id this then is.
    if pid and pid not in {str(os.getpid()), str(os.getppid())}:
        return None
    if not micros.isdigit() or int(micros) == 0:
        return None
    return int(micros) / 2_000_000
