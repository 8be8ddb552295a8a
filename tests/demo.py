"""The demo in a process of its own, as `make demo` starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from demo.company import OWNER, PASSWORD
from tests.instance import ROOT, Instance, eventually, free_port, listening


class Demo:
    """A demo on a port of its own; `instance` drives its NetPulse, once it has started."""

    def __init__(self, data: Path) -> None:
        """Take the directory; nothing is started yet."""
        self.data = data
        self.mail = data / "mail"
        self.notices = data / "notices"
        self.process: subprocess.Popen[str] | None = None
        self.output: list[str] = []
        self._listener = threading.Thread()
        self.instance = Instance(data / "netpulse", port=free_port())

    @property
    def text(self) -> str:
        """Everything it has printed."""
        return "".join(self.output)

    def start(self) -> Demo:
        """Start it, wait until it says that it is ready, and sign in."""
        self.output = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo", "--data", str(self.data), "--port", self._port],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        self._listener = listening(self.process, self.output)
        eventually(f"the demo is ready\n{self.text}", self._is_ready, 110)
        sent = {"email": OWNER, "password": PASSWORD}
        self.instance.token = None
        self.instance.token = self.instance.ok("POST", "/v1/auth/login", sent)["access_token"]
        return self

    @property
    def _port(self) -> str:
        return str(self.instance.port)

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}: {self.text}")
        return "Ctrl-C ends it." in self.text

    def said(self, label: str) -> str:
        """Return what stands behind a label in what it printed."""
        found = re.search(rf"^  {label} +(.*)$", self.text, re.MULTILINE)
        assert found is not None, self.text
        return found[1]

    def outage(self, monitor_id: str) -> Any:
        """Wait until an incident of the monitor is open, and return it."""
        return eventually(
            "its outage", lambda: self._open_one(monitor_id, "investigating"), seconds=90
        )

    def _open_one(self, monitor_id: str, status: str) -> Any:
        path = f"/v1/incidents?monitor_id={monitor_id}&status={status}"
        return next(iter(self.instance.ok("GET", path)), None)

    def told(self, incident_id: str) -> Any:
        """Wait until a channel has taken a notice of the incident, and return it."""

        def look() -> Any:
            listed = self.instance.ok("GET", "/v1/alert-events?limit=100")
            about = (one for one in listed if one["incident_id"] == incident_id)
            return next((one for one in about if one["status"] == "sent"), None)

        return eventually("somebody is told", look)

    def letter(self, subject: str) -> str:
        """Wait until a letter with this subject went out, and return it; news are gathered for half
        a minute."""

        def look() -> str | None:
            letters = (path.read_text() for path in sorted(self.mail.glob("*.eml")))
            return next((one for one in letters if f"Subject: {subject}\n" in one), None)

        return eventually("a letter", look, seconds=60)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Ask it to end, as Ctrl-C does, and return its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(30)
        self._listener.join(5)
        return status

    def close(self) -> None:
        """Leave nothing running."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
