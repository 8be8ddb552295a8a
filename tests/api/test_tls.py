"""TLS of our own: what is spoken, what a request looks like then, and how a certificate changes
while everything runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from netpulse.engine.clock import Clock
from netpulse.web import listening, tls
from netpulse.web.listening import serve_embedded
from netpulse.web.tls import Tls
from tests.cast import PASSWORD
from tests.conftest import Opener, Stage
from tests.pairs import NO_CERTIFICATE, STRANGERS, Files, good, put
from tests.servers import free_port
from tests.wire import say


def trusting() -> ssl.SSLContext:
    """A client that takes any certificate: the tests look at it themselves."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@asynccontextmanager
async def encrypted(stage: Stage, files: Files, minimum: str = "1.3") -> AsyncIterator[Served]:
    """Serve the stage over TLS."""
    port = free_port()
    ours = Tls(*files, minimum)
    stop, now = stage.house.stopping, stage.house.clock.now
    task = asyncio.create_task(serve_embedded(stage.app, "127.0.0.1", port, stop, ours, now))
    served = Served(port, ours)
    try:
        for _ in range(250):
            with suppress(OSError):
                await served.certificate()
                break
            assert not task.done(), task
            await asyncio.sleep(0.02)
        yield served
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


class Served:
    """A port that speaks TLS."""

    def __init__(self, port: int, ours: Tls) -> None:
        self.port = port
        self.tls = ours

    def client(self, **options: object) -> httpx.AsyncClient:
        """Return a client that takes any certificate."""
        base = f"https://127.0.0.1:{self.port}"
        return httpx.AsyncClient(base_url=base, verify=trusting(), timeout=10, **options)  # type: ignore[arg-type]

    async def certificate(self) -> x509.Certificate:
        """Return the certificate that a new connection meets."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=trusting())
        try:
            held = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            return x509.load_der_x509_certificate(held)
        finally:
            writer.close()

    async def meets(self, files: Files) -> None:
        """Wait until a new connection meets this certificate."""
        for _ in range(1000):
            if (await self.certificate()).serial_number == serial(files):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it was not served in time")


def serial(files: Files) -> int:
    return x509.load_pem_x509_certificates(files.certificate.read_bytes())[0].serial_number


@pytest.fixture
async def stage(open_stage: Opener) -> Stage:
    return await open_stage(clock=Clock())


class TestServing:
    async def test_pages_and_cookies_know_that_they_are_encrypted(
        self, stage: Stage, tmp_path: Path
    ) -> None:
        async with encrypted(stage, good(tmp_path / "tls")) as served, served.client() as client:
            login = await client.get("/login")
            assert login.headers["strict-transport-security"] == "max-age=31536000"
            assert "not encrypted" not in login.text.lower()
            form = {"email": stage.cast.alice.email, "password": PASSWORD}
            entered = await client.post("/login", data=form)
            assert entered.status_code == 303
            (cookie,) = entered.headers.get_list("set-cookie")
            assert cookie.startswith("__Host-np_session=")
            assert "; Secure" in cookie
            assert (await client.get("/dashboard")).status_code == 200
            token = await client.post("/v1/auth/login", json=form)
            assert token.headers["set-cookie"].startswith("__Secure-np_refresh=")
            origin = {"Origin": f"https://127.0.0.1:{served.port}"}
            made = await client.post("/logout", headers=origin)
            assert made.status_code == 303, "a page of our own is no foreign one"

    async def test_versions(self, stage: Stage, tmp_path: Path) -> None:
        for minimum, taken in (("1.3", False), ("1.2", True)):
            files = good(tmp_path / minimum)
            other = stage
            async with encrypted(other, files, minimum) as served:
                for version, fine in (
                    (ssl.TLSVersion.TLSv1_3, True),
                    (ssl.TLSVersion.TLSv1_2, taken),
                ):
                    context = trusting()
                    context.minimum_version = context.maximum_version = version
                    try:
                        _, writer = await asyncio.open_connection(
                            "127.0.0.1", served.port, ssl=context
                        )
                    except ssl.SSLError:
                        assert not fine, version
                    else:
                        assert fine, version
                        assert writer.get_extra_info("cipher")[0].endswith(
                            (
                                "GCM_SHA384",
                                "GCM_SHA256",
                                "GCM-SHA384",
                                "GCM-SHA256",
                                "POLY1305_SHA256",
                            )
                        )
                        writer.close()
            stage.house.stopping.clear()

    async def test_what_a_request_in_the_clear_gets(
        self, stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is closed at once with an alert of TLS, and nobody else notices."""
        caplog.set_level(logging.DEBUG)
        async with encrypted(stage, good(tmp_path / "tls")) as served:
            for said in (
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                b"\x16\x03\x01\xff\xff" + b"x" * 600,
            ):
                heard = await say(served.port, said)
                assert heard.is_closed
                assert heard.statuses == []
                assert heard.raw[:1] in (b"", b"\x15")
            async with served.client() as client:
                assert (await client.get("/healthz")).status_code == 200
        said = [record for record in caplog.records if record.levelno > logging.DEBUG]
        assert [record.message for record in said if not record.name.startswith("http")] == []

    async def test_those_who_never_begin_keep_nobody_out(
        self, stage: Stage, tmp_path: Path
    ) -> None:
        async with encrypted(stage, good(tmp_path / "tls")) as served:
            held = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(300)]
            for number, (_, writer) in enumerate(held):
                # Half of them begin a handshake and leave it there.
                writer.write(b"\x16\x03\x01\x02\x00" if number % 2 else b"")
            async with served.client() as client:
                began = time.monotonic()
                assert (await client.get("/login")).status_code == 200
                assert time.monotonic() - began < 3
            for _, writer in held:
                writer.close()

    async def test_nothing_of_the_key_is_left_on_a_disk_or_open(
        self, stage: Stage, tmp_path: Path
    ) -> None:
        files = good(tmp_path / "tls")
        secret = files.key.read_bytes().splitlines()[2]
        async with encrypted(stage, files):
            names = [
                link.readlink().name
                for link in Path("/proc/self/fd").iterdir()
                if link.is_symlink()
            ]
            assert not any("memfd" in name for name in names)
        for path in tmp_path.rglob("*"):
            if path.is_file() and path != files.key:
                assert secret not in path.read_bytes()


Hammer = Callable[[], None]


class Traffic:
    """Clients that ask without pause, and what they met."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.errors: list[str] = []
        self.met: Counter[int] = Counter()
        self.since = 0.0
        self.answers = 0
        self.goes_on = True

    async def ask(self, requests: int, pause: float = 0.0) -> None:
        """Connect, ask so many times, and begin anew, for as long as it goes on."""
        context = trusting()
        while self.goes_on:
            began = time.monotonic()
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
                held = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
                if began >= self.since:
                    self.met[x509.load_der_x509_certificate(held).serial_number] += 1
                for _ in range(requests):
                    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                    head = await reader.readuntil(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 200 "), head
                    size = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0])
                    await reader.readexactly(size)
                    self.answers += 1
                    if b"connection: close" in head.lower():
                        break
                    await asyncio.sleep(pause)
                writer.close()
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not happen
                self.errors.append(repr(error))
                await asyncio.sleep(0.05)

    def forget(self) -> None:
        """Count what those meet who begin to connect from now on."""
        self.met.clear()
        self.since = time.monotonic()


@asynccontextmanager
async def traffic(port: int) -> AsyncIterator[Traffic]:
    going = Traffic(port)
    # Some connect for each request, some for many, some think in between.
    kinds = [(1, 0.0), (1, 0.0), (1, 0.0), (7, 0.0), (500, 0.0), (500, 0.0), (50, 0.05), (50, 0.3)]
    tasks = [asyncio.create_task(going.ask(*kind)) for kind in kinds]
    try:
        yield going
    finally:
        going.goes_on = False
        await asyncio.gather(*tasks)


async def until(what: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come to that in time"
        await asyncio.sleep(0.02)


class TestChanging:
    @pytest.fixture(autouse=True)
    def sooner(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Look at the files ten times a second, and let a listener go as soon as its unused
        connections have ended. They end while we think in between only if all stands still."""
        assert tls.LOOK_SECONDS == 10.0
        monkeypatch.setattr(listening, "LOOK_SECONDS", 0.1)
        monkeypatch.setattr(listening, "HEADER_READ_MS", 3000)
        monkeypatch.setattr(listening, "LEAVE_MS", 3500)

    async def test_nobody_is_refused_and_nothing_under_way_is_lost(
        self, stage: Stage, tmp_path: Path
    ) -> None:
        files = good(tmp_path / "tls")
        async with encrypted(stage, files) as served, traffic(served.port) as going:
            await until(lambda: going.answers > 300)
            for _ in range(3):
                old = serial(files)
                assert set(going.met) == {old}
                good(tmp_path / "tls")
                new = serial(files)
                await until(lambda new=new: going.met[new] > 0)  # type: ignore[misc]
                # Now the kernel has been told as well whose everybody is.
                pair = b"\0".join(file.read_bytes() for file in files)
                await until(lambda pair=pair: served.tls.pair.source == pair)  # type: ignore[misc]
                going.forget()
                before = going.answers
                await until(lambda before=before: going.answers > before + 500)  # type: ignore[misc]
                assert set(going.met) == {new}, "nobody new meets the old one"
                # The old listener ends meanwhile.
                await asyncio.sleep(4.5)
                going.forget()
                await until(lambda: going.met.total() > 20)
            assert going.errors == []
        assert going.answers > 2000

    async def test_a_request_that_takes_its_time_is_answered(
        self, stage: Stage, tmp_path: Path
    ) -> None:
        files = good(tmp_path / "tls")
        async with encrypted(stage, files) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=trusting())
            body = b'{"email": "a@example.com", "password": "x"}'
            writer.write(
                b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body)
            )
            good(tmp_path / "tls")
            new = serial(files)
            await until(lambda: served.tls.pair.source == b"\0".join(f.read_bytes() for f in files))
            for byte in body:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.06)
            assert (await served.certificate()).serial_number == new
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401 ")
            assert b"connection: close" in head.lower()
            writer.close()

    async def test_streams_end_and_come_back(self, stage: Stage, tmp_path: Path) -> None:
        files = good(tmp_path / "tls")
        async with encrypted(stage, files) as served, served.client() as client:
            form = {"email": stage.cast.alice.email, "password": PASSWORD}
            await client.post("/login", data=form)
            async with client.stream("GET", "/live") as stream:
                lines = stream.aiter_lines()
                assert await anext(lines) == "retry: 2000"
                good(tmp_path / "tls")
                async with asyncio.timeout(10):
                    assert [line async for line in lines if line] == []
            async with client.stream("GET", "/live") as stream:
                assert await anext(stream.aiter_lines()) == "retry: 2000"

    async def test_a_pair_that_cannot_be_served_changes_nothing(
        self, stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        files = good(tmp_path / "tls")
        mine = serial(files)
        other = good(tmp_path / "other")
        right = files.key.read_bytes()
        old = good(tmp_path / "old", days=(-60, -1))

        def complaints() -> list[str]:
            return [record.getMessage() for record in caplog.records]

        prefix = "the certificate was changed and cannot be served, the old one stays: "
        cases: list[tuple[bytes, bytes, str]] = [
            (
                other.certificate.read_bytes(),
                right,
                STRANGERS.format(certificate=files.certificate, key=files.key),
            ),
            (
                b"half written",
                right,
                NO_CERTIFICATE.format(certificate=files.certificate),
            ),
            (
                old.certificate.read_bytes(),
                old.key.read_bytes(),
                "the certificate has expired on ",
            ),
        ]
        async with encrypted(stage, files) as served, traffic(served.port) as going:
            for certificate, key, said in cases:
                caplog.clear()
                put(tmp_path / "tls", certificate, key)
                # Between the two files it may have been looked at, too.
                await until(lambda said=said: any(said in line for line in complaints()))  # type: ignore[misc]
                assert all(line.startswith(prefix) for line in complaints())
                counted = len(complaints())
                await asyncio.sleep(0.5)
                assert len(complaints()) == counted, "it is said once"
                assert (await served.certificate()).serial_number == mine
            files.key.unlink()
            await until(lambda: any("does not exist" in line for line in complaints()))
            assert (await served.certificate()).serial_number == mine
            assert going.errors == []
            assert set(going.met) == {mine}
            # And a right one is taken when it comes.
            good(tmp_path / "tls")
            await until(lambda: going.met[serial(files)] > 0)

    async def test_a_link_that_leads_elsewhere_is_a_change(
        self, stage: Stage, tmp_path: Path
    ) -> None:
        """As certbot does it: live/ holds links into archive/."""
        first, second = good(tmp_path / "archive1"), good(tmp_path / "archive2")
        live = tmp_path / "live"
        live.mkdir()
        links = Files(live / "fullchain.pem", live / "privkey.pem")
        for link, target in zip(links, first, strict=True):
            link.symlink_to(target)
        async with encrypted(stage, links) as served:
            for link, target in zip(links, second, strict=True):
                link.unlink()
                link.symlink_to(target)
            await served.meets(second)

    async def test_being_asked_to_look_looks_at_once(
        self, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listening, "LOOK_SECONDS", 600.0)
        files = good(tmp_path / "tls")
        async with encrypted(stage, files) as served:
            good(tmp_path / "tls")
            served.tls.again.set()
            await served.meets(files)

    async def test_it_stops_in_the_middle_of_a_change(self, stage: Stage, tmp_path: Path) -> None:
        files = good(tmp_path / "tls")
        async with AsyncExitStack() as stack:
            served = await stack.enter_async_context(encrypted(stage, files))
            good(tmp_path / "tls")
            served.tls.again.set()
            await served.meets(files)
            began = time.monotonic()
        assert time.monotonic() - began < 3


def test_the_end_is_mentioned_once_a_day(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    day = 86_400_000
    ours = Tls(*good(tmp_path / "tls", days=(-1, 60)), "1.3")
    ends = ours.pair.not_after
    for now in (ends - 15 * day, ends - 13 * day, ends - 13 * day + 5, ends - 12 * day, ends + 1):
        ours.mention(now)
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(" on ")[0] for line in said] == [
        "the certificate expires",
        "the certificate expires",
        "browsers refuse to come in: the certificate has expired",
    ]
