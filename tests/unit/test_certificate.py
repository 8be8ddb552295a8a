"""Certificates for our own TLS: what is served, what is refused, and in which words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netpulse.model.time import DAY, rfc3339
from netpulse.web import certificate
from netpulse.web.certificate import Unusable
from tests.pairs import NOW, REFUSED, SERVED, Files, good

ROOT = Path(__file__).resolve().parents[2]

CHILD = """
import asyncio, ssl, sys
from pathlib import Path
from netpulse.web import certificate
from netpulse.web.listening import Listener, probe_port
from tests.servers import free_port

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})

async def main(*paths):
    for pair in zip(paths[::2], paths[1::2]):
        port = free_port()
        listener = Listener(app, "127.0.0.1", port, certificate.read(*map(Path, pair)))
        await listener.start()
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        print(pair[0], writer.get_extra_info("ssl_object").version(), flush=True)
        writer.close()
        await listener.end()

asyncio.run(main(*sys.argv[1:]))
"""


def test_whatever_is_not_refused_is_served(tmp_path: Path) -> None:
    """The server below would end the process over one that it does not take: the child would say
    nothing more."""
    pairs = [make(tmp_path / str(number)) for number, make in enumerate(SERVED.values())]
    words = [str(path) for pair in pairs for path in pair]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *words],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    served = [f"{pair.certificate} TLSv1.3" for pair in pairs]
    assert done.stdout.splitlines() == served, done.stderr


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(tmp_path: Path, make: Callable[[Path], Files], said: str) -> None:
    files = make(tmp_path)
    with pytest.raises(Unusable) as refused:
        certificate.read(*files)
    assert str(refused.value) == said.format(certificate=files.certificate, key=files.key)


def test_what_is_known_of_a_pair(tmp_path: Path) -> None:
    pair = certificate.read(*good(tmp_path, "status.example"))
    assert pair.names == ("status.example",)
    assert rfc3339(pair.not_after).startswith(f"{NOW.year}") or pair.not_after > pair.not_before
    assert "PRIVATE" not in repr(pair)
    assert "KEY" not in f"{pair}"


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        (0, None),
        (59 * DAY, None),
        (60 * DAY, "the certificate has expired on {after}"),
        (-2 * DAY, "the certificate is not valid before {before}"),
    ],
)
def test_dates(tmp_path: Path, moved: int, said: str | None) -> None:
    pair = certificate.read(*good(tmp_path))
    now = int(NOW.timestamp() * 1000) + moved
    told = certificate.date_problem(pair, now)
    if said is None:
        assert told is None
    else:
        after, before = rfc3339(pair.not_after), rfc3339(pair.not_before)
        assert told == said.format(after=after, before=before)
