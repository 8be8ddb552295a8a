"""A whole NetPulse in a process of its own, driven from outside as a person or script would."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[1]
SOURCE = [sys.executable, "-m", "netpulse"]
EMAIL, PASSWORD = "alice@example.com", "correct horse battery staple"

T = TypeVar("T")


def kept_port(owner: object) -> int:
    """Return a port that nobody else gets for as long as `owner` lives.

    On Linux a port may be bound by more than one as long as one of them listens at most. So here it
    is bound, and connections are refused until its owner listens, and between its times.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    port = int(kept.getsockname()[1])
    if sys.platform == "linux":
        weakref.finalize(owner, socket.close, kept.detach())
    else:
        kept.close()
    return port


def free_port() -> int:
    """Return a port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(what: str, look: Callable[[], T], seconds: float = 30) -> T:
    """Return the first truthy answer of `look`; fail with `what` when none comes in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def listening(process: subprocess.Popen[str], output: list[str]) -> threading.Thread:
    """Return a thread that takes down every line that a process prints, until its end."""
    said = process.stdout
    assert said is not None

    def listen() -> None:
        with said as lines:
            for line in lines:
                output.append(line)  # noqa: PERF402 -- others read each as it comes

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    return thread


def shop(url: str, name: str = "Shop") -> dict[str, Any]:
    """Return what is sent to have a site watched as often as may be."""
    site = {"type": "http", "name": name, "target": url}
    return site | {"interval_seconds": 10, "confirmations": 1}


class Instance:
    """One `netpulse serve` on a port and a data directory."""

    def __init__(
        self,
        data: Path,
        *,
        command: list[str] | None = None,
        port: int | None = None,
        encrypted: bool = False,
    ) -> None:
        self.data = data
        self.command = command or SOURCE
        self.port = port or kept_port(self)
        self.encrypted = encrypted
        self.base = f"{'https' if encrypted else 'http'}://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None
        self._listener = threading.Thread()
        self.output: list[str] = []
        self.token: str | None = None

    def start(self, *options: str, environ: dict[str, str] | None = None) -> Instance:
        """Start it and wait until it answers."""
        self.output = []
        self.process = subprocess.Popen(
            [*self.command, "serve", "--data", str(self.data), "--port", str(self.port), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | (environ or {}),
            start_new_session=True,
        )
        self._listener = listening(self.process, self.output)
        eventually(f"{self.base} answers\n{self.text}", self._answers, 40)
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}: {self.text}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.call("GET", "/healthz")[0] == 200
        return False

    @property
    def text(self) -> str:
        """Everything it has printed."""
        return "".join(self.output)

    def setup_token(self) -> str:
        """Return the token that the start printed."""

        def look() -> str | None:
            found = re.search(r"setup token:?\s+(\S+)", self.text, re.IGNORECASE)
            return found[1] if found else None

        return eventually("a setup token in the output", look)

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """Make one request and return status, headers and the decoded body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        if self.encrypted:
            # Any certificate will do: tests look at it themselves.
            trusting = ssl.create_default_context()
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=15, context=trusting
            )
        sent = dict(headers or {})
        if self.token and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {self.token}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        found = {key.lower(): value for key, value in answer.getheaders()}
        if found.get("content-type", "").startswith("application/json"):
            return answer.status, found, json.loads(raw)
        return answer.status, found, raw.decode("utf-8", "replace")

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        """Make a request that must succeed and return its `data`."""
        status, _, answer = self.call(method, path, body)
        assert status in (200, 201), (method, path, status, answer)
        return answer["data"]

    def register(self) -> None:
        """Make the first administrator and sign in."""
        status, _, answer = self.call(
            "POST",
            "/v1/auth/register",
            {
                "email": EMAIL,
                "password": PASSWORD,
                "org_name": "Acme",
                "setup_token": self.setup_token(),
            },
        )
        assert status == 201, answer
        self.login()

    def login(self) -> None:
        """Sign in; later calls carry the access token."""
        answer = self.ok("POST", "/v1/auth/login", {"email": EMAIL, "password": PASSWORD})
        self.token = answer["access_token"]

    def add_user(self, email: str, password: str, role: str) -> None:
        """Add somebody by the command, as the machine's owner does."""
        command = ["user", "add", email, "--role", role, "--password-stdin"]
        subprocess.run(
            [*self.command, *command, "--data", str(self.data)],
            input=password + "\n",
            text=True,
            check=True,
            capture_output=True,
            cwd=ROOT,
        )

    def tell(self, url: str, name: str = "Hook", **changes: Any) -> None:
        """Have outages told to a webhook's receiver, every one of them."""
        hook = {"type": "webhook", "name": name, "config": {"url": url}}
        channel = self.ok("POST", "/v1/alert-channels", hook)
        rule = {"channel_id": channel["id"], "condition": "down", "cooldown_seconds": 0}
        self.ok("POST", "/v1/alert-rules", rule | changes)

    def watch(self, url: str, name: str = "Shop", **changes: Any) -> str:
        """Watch a site as often as may be, down at its first failure; return the monitor's path."""
        made = self.ok("POST", "/v1/monitors", shop(url, name) | changes)
        return f"/v1/monitors/{made['id']}"

    def kill(self) -> None:
        """End the process and its children at once, as a power cut would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self._listener.join(5)

    def stop(self, seconds: float = 10) -> int:
        """Ask it to stop and return its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(seconds)
        self._listener.join(5)
        return status

    def close(self) -> None:
        """Leave nothing running."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            self._listener.join(5)


class Sink:
    """A webhook's receiver that remembers everything, on its own thread. It may be told to fail."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.delay_seconds = 0.0
        """How long each answer takes; who has gone meanwhile gets none."""
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                body = self.rfile.read(length)
                headers = {key.lower(): value for key, value in self.headers.items()}
                if sink.status < 300:
                    sink.received.append((headers, body))
                time.sleep(sink.delay_seconds)
                with contextlib.suppress(ConnectionError):
                    self._answer()

            def _answer(self) -> None:
                self.send_response(sink.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def events(self) -> list[dict[str, Any]]:
        """Return the payloads in the order of their arrival."""
        return [json.loads(body) for _, body in self.received]

    def distinct(self) -> list[dict[str, Any]]:
        """Return the payloads without those whose id came before, as a good receiver does."""
        by_id = {headers["webhook-id"]: json.loads(body) for headers, body in self.received}
        return list(by_id.values())

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Site:
    """A web site on loopback that can be stopped and started on its port."""

    def __init__(self) -> None:
        self.port = kept_port(self)
        self.url = f"http://127.0.0.1:{self.port}/"
        self._server: ThreadingHTTPServer | None = None

    def up(self) -> Site:
        """Answer."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "3")
                self.end_headers()
                self.wfile.write(b"ok\n")

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def down(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
