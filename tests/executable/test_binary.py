"""The one-file executable, driven from the setup token to a signed webhook, without Python."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from standardwebhooks import Webhook

from tests.instance import ROOT, Instance, Sink, Site, eventually
from tests.pairs import good

BINARY = Path(os.environ.get("NETPULSE_BINARY", ROOT / "dist" / "netpulse"))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

pytestmark = pytest.mark.skipif(
    not BINARY.exists(), reason="there is no executable: run `make binary` (make test does)"
)


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    made = tmp_path / "tmp"
    made.mkdir()
    return made


@pytest.fixture
def environ(temporary: Path) -> dict[str, str]:
    """Nothing of this shell's: no Python, no PATH, a place to unpack."""
    return {"TMPDIR": str(temporary), "PATH": "/nonexistent", "PYTHONHOME": "", "PYTHONPATH": ""}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance(tmp_path / "data", command=[str(BINARY)])
    yield made
    made.close()


def child_of(instance: Instance) -> psutil.Process:
    assert instance.process is not None
    (child,) = psutil.Process(instance.process.pid).children()
    return child


def gone(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def test_version_and_check(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [BINARY, "version"], capture_output=True, text=True, env=environ, timeout=30, check=True
    )
    assert done.stdout.startswith("netpulse ")
    site = Site().up()
    try:
        done = subprocess.run(
            [BINARY, "check", site.url],
            capture_output=True,
            text=True,
            env=environ,
            timeout=30,
            check=False,
        )
    finally:
        site.down()
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [BINARY, "check", site.url],
        capture_output=True,
        text=True,
        env=environ,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "refused" in done.stdout


def test_small_enough_to_carry() -> None:
    assert BINARY.stat().st_size < 45_000_000


def test_from_setup_token_to_signed_webhook(instance: Instance, environ: dict[str, str]) -> None:
    site, sink = Site().up(), Sink()
    try:
        instance.start(environ=environ)
        instance.register()
        for path in ("/docs", "/static/app.css"):
            assert instance.call("GET", path)[0] == 200, path
        german = instance.call("GET", "/forgot", headers={"Accept-Language": "de"})
        assert "Passwort" in str(german[2]), "the catalogues are in it"
        common = {"interval_seconds": 10, "timeout_seconds": 2, "retry_interval_seconds": 1}
        http = instance.ok(
            "POST", "/v1/monitors", {"type": "http", "name": "Web", "target": site.url} | common
        )
        tcp = instance.ok(
            "POST",
            "/v1/monitors",
            {"type": "tcp", "name": "Port", "target": f"127.0.0.1:{site.port}"} | common,
        )
        channel = instance.ok(
            "POST",
            "/v1/alert-channels",
            {"name": "Hook", "type": "webhook", "config": {"url": sink.url, "secret": SECRET}},
        )
        instance.ok(
            "POST",
            "/v1/alert-rules",
            {
                "name": "Web",
                "monitor_id": http["id"],
                "channel_id": channel["id"],
                "condition": "down",
            },
        )

        def all_are(status: str) -> bool:
            return all(
                instance.ok("GET", f"/v1/monitors/{one['id']}")["status"] == status
                for one in (http, tcp)
            )

        eventually("both are up", lambda: all_are("up"), 10)
        site.down()
        eventually("both are down", lambda: all_are("down"), 20)
        eventually("one message", lambda: len(sink.received) == 1, 10)
        site.up()
        eventually("both are back", lambda: all_are("up"), 20)
        eventually("a second message", lambda: len(sink.received) == 2, 10)
        assert [event["event"] for event in sink.events()] == ["monitor.down", "monitor.up"]
        for headers, body in sink.received:
            Webhook(SECRET).verify(body, headers)
        began = time.monotonic()
        assert instance.stop() == 0
        assert time.monotonic() - began < 10
    finally:
        site.down()
        sink.close()


def test_it_serves_tls_and_reads_the_certificate_again_when_its_parent_is_told(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """A service manager knows the process that unpacks and no other."""
    files = good(tmp_path / "tls")
    environ |= {
        "NETPULSE_SERVER_TLS_CERTIFICATE": str(files.certificate),
        "NETPULSE_SERVER_TLS_KEY": str(files.key),
    }
    instance = Instance(tmp_path / "data", command=[str(BINARY)], encrypted=True)
    try:
        instance.start(environ=environ)
        assert instance.process is not None
        assert child_of(instance).is_running()
        for _ in range(2):
            good(tmp_path / "tls")
            new = ssl.PEM_cert_to_DER_cert(files.certificate.read_text())
            instance.process.send_signal(signal.SIGHUP)
            eventually("the new certificate", lambda new=new: met(instance.port) == new, 30)  # type: ignore[misc]
        assert instance.call("GET", "/healthz")[0] == 200
        assert instance.stop(20) == 0
        assert "Traceback" not in instance.text
    finally:
        instance.close()


def met(port: int) -> bytes:
    """Return the certificate that a new connection meets."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))


def test_killing_the_visible_process_ends_the_other(
    instance: Instance, environ: dict[str, str], temporary: Path
) -> None:
    instance.start(environ=environ)
    assert instance.process is not None
    child = child_of(instance)
    os.kill(instance.process.pid, signal.SIGKILL)
    instance.process.wait(5)
    eventually("the child ends too", lambda: gone(child), 12)
    (left,) = temporary.glob("_MEI*")
    # Lock and port are free, and the folder that was left behind goes at the next start once it
    # is old enough not to be one that is just starting.
    os.utime(left, (1, 1))
    instance.start(environ=environ)
    assert not left.exists()
    assert instance.stop() == 0


def test_killing_the_inner_process_ends_the_visible_one(
    instance: Instance, environ: dict[str, str], temporary: Path
) -> None:
    instance.start(environ=environ)
    assert instance.process is not None
    child_of(instance).kill()
    assert instance.process.wait(10) != 0
    assert list(temporary.glob("_MEI*")) == []
    instance.start(environ=environ)
    assert instance.stop() == 0
