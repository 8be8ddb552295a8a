"""`netpulse serve` with a certificate: what it prints, refuses and reads again; and SIGHUP."""

from __future__ import annotations

import os
import pty
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.instance import EMAIL, PASSWORD, ROOT, SOURCE, Instance, eventually
from tests.integration.test_serve import refused
from tests.pairs import REFUSED, Files, good


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance(tmp_path / "data", encrypted=True)
    yield made
    made.close()


def environ(files: Files, **more: str) -> dict[str, str]:
    return {
        "NETPULSE_SERVER_TLS_CERTIFICATE": str(files.certificate),
        "NETPULSE_SERVER_TLS_KEY": str(files.key),
        **more,
    }


def met(port: int) -> bytes:
    """Return the certificate that a new connection meets."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))


def der(files: Files) -> bytes:
    return ssl.PEM_cert_to_DER_cert(files.certificate.read_text())


def test_from_the_start_to_another_certificate(instance: Instance, tmp_path: Path) -> None:
    files = good(tmp_path / "tls", "status.example")
    instance.start(environ=environ(files))
    token = instance.setup_token()
    assert f"  Open         https://127.0.0.1:{instance.port}/setup\n" in instance.text
    assert "  Certificate  status.example, until 20" in instance.text
    assert "http://" not in instance.text
    status, headers, _ = instance.call(
        "POST",
        "/v1/auth/register",
        {"email": EMAIL, "password": PASSWORD, "org_name": "Acme", "setup_token": token},
    )
    assert (status, headers["strict-transport-security"]) == (201, "max-age=31536000")
    first = met(instance.port)
    assert first == der(files)
    process = instance.process
    assert process is not None
    good(tmp_path / "tls", "status.example")
    process.send_signal(signal.SIGHUP)
    eventually("the new certificate", lambda: met(instance.port) == der(files), 8)
    assert instance.call("GET", "/healthz")[0] == 200
    # By itself, too, within ten seconds.
    good(tmp_path / "tls", "status.example")
    eventually("the next one", lambda: met(instance.port) == der(files), 30)
    files.key.write_text("half of it")
    process.send_signal(signal.SIGHUP)
    eventually("a complaint", lambda: "the old one stays" in instance.text, 30)
    assert instance.call("GET", "/healthz")[0] == 200
    assert instance.text.count("another certificate is served: status.example, until 20") == 2
    assert instance.stop() == 0
    assert "Traceback" not in instance.text
    assert "panicked" not in instance.text


@pytest.mark.parametrize("what", ["no key", "strangers", "a password", "P-521", "version 1"])
def test_what_cannot_be_served_refuses_the_start_in_one_line(tmp_path: Path, what: str) -> None:
    make, said = REFUSED[what]
    files = make(tmp_path / "tls")
    line = refused(tmp_path / "data", **environ(files))
    assert line == "cannot serve TLS: " + said.format(certificate=files.certificate, key=files.key)
    assert not (tmp_path / "data").exists(), "nothing was begun"


def test_a_key_that_may_not_be_read(tmp_path: Path) -> None:
    # Root may read everything, until its capabilities are taken away.
    powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    files = good(tmp_path / "tls")
    files.key.chmod(0)
    before = powerless if os.geteuid() == 0 else ()
    line = refused(tmp_path / "data", before=before, **environ(files))
    assert line == f"cannot serve TLS: {files.key} cannot be read: Permission denied"


def test_an_expired_certificate_is_served_and_mentioned(instance: Instance, tmp_path: Path) -> None:
    """Not to watch at all would be worse."""
    files = good(tmp_path / "tls", days=(-60, -2))
    instance.start(environ=environ(files))
    said = "browsers refuse to come in: the certificate has expired on 20"
    eventually("a warning", lambda: said in instance.text, 10)
    assert met(instance.port) == der(files)


def test_half_of_a_pair(tmp_path: Path) -> None:
    files = good(tmp_path / "tls")
    for missing in ("NETPULSE_SERVER_TLS_KEY", "NETPULSE_SERVER_TLS_CERTIFICATE"):
        given = environ(files) | {missing: ""}
        line = refused(tmp_path / "data", **given)
        assert line == "set both server.tls_certificate and server.tls_key, or neither"


def test_config_check_looks_at_the_pair(tmp_path: Path) -> None:
    def check(files: Files) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SOURCE, "config", "check"],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | environ(files),
        )

    fine = check(good(tmp_path / "good"))
    assert (fine.returncode, fine.stdout.splitlines()[-1]) == (0, "# usable")
    make, said = REFUSED["strangers"]
    files = make(tmp_path / "strangers")
    bad = check(files)
    assert bad.returncode == 1
    told = said.format(certificate=files.certificate, key=files.key)
    assert bad.stderr == f"netpulse: cannot serve TLS: {told}\n"
    ended = check(good(tmp_path / "ended", days=(-60, -2)))
    assert ended.returncode == 0
    assert "the certificate has expired on 20" in ended.stderr


class TestHangingUp:
    def test_without_a_certificate_there_is_nothing_to_read_again(self, tmp_path: Path) -> None:
        instance = Instance(tmp_path / "data")
        try:
            process = instance.start().process
            assert process is not None
            process.send_signal(signal.SIGHUP)
            said = "SIGHUP: without a certificate of our own there is nothing to read again"
            eventually("what it makes of it", lambda: said in instance.text, 10)
            assert instance.call("GET", "/healthz")[0] == 200
        finally:
            instance.close()

    def test_a_terminal_that_is_closed_ends_it_in_order(self, tmp_path: Path) -> None:
        instance = Instance(tmp_path / "data")
        ours, theirs = pty.openpty()
        command = [*SOURCE, "serve", "--data", str(instance.data), "--port", str(instance.port)]

        def becomes_its_terminal() -> None:
            os.setsid()
            import fcntl
            import termios

            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=ROOT,
            preexec_fn=becomes_its_terminal,  # noqa: PLW1509 - nothing else runs here
        )
        try:
            os.close(theirs)
            instance.process = process  # type: ignore[assignment]

            def answers() -> bool:
                try:
                    return instance.call("GET", "/healthz")[0] == 200
                except OSError:
                    return False

            eventually("it answers", answers, 40)
            os.close(ours)
            assert process.wait(15) == 0
        finally:
            process.kill()
            process.wait(10)
