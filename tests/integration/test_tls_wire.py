"""A connection with TLS over a plain one, against real servers on loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from netpulse.egress.connect import Egress
from netpulse.egress.tls import TlsOptions, make_context
from netpulse.egress.trace import Trace
from netpulse.egress.trouble import DialError
from netpulse.model.check import Failure
from netpulse.model.monitor import HttpsSpec, SslSpec, TcpSpec
from netpulse.probes import PROBES, handshakes, plain, secure
from netpulse.probes import wire as wire_module
from netpulse.probes.handshakes import Handshakes, Lain
from netpulse.probes.plain import PIECE
from netpulse.probes.secure import TlsWire
from tests.certificates import Authority, served
from tests.probing import undisturbed
from tests.servers import TcpServer

OURS = Authority()
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


def trusting() -> ssl.SSLContext:
    return make_context(TlsOptions(ca_certificate=OURS.pem))


async def connected(server: TcpServer) -> TlsWire:
    sock = socket.create_connection(("127.0.0.1", server.port))
    sock.setblocking(False)
    return TlsWire(sock)


async def test_there_and_back_and_when_it_came() -> None:
    async def echo(reader: Reader, writer: Writer) -> None:
        data = await reader.read(100)
        await asyncio.sleep(0.05)
        writer.write(data.upper())
        await writer.drain()

    async with TcpServer(echo, tls=OURS.good()) as server:
        wire = await connected(server)
        spoken = await wire.shake_hands(trusting(), "localhost")
        assert spoken.version() == "TLSv1.3"
        assert wire.first_at is None
        asked = time.perf_counter()
        wire.send(b"ping")
        assert await wire.receive() == b"PING"
        assert wire.first_at is not None
        # The tickets that came right after the handshake are no answer.
        assert wire.first_at - asked > 0.04
        assert await wire.receive() == b""
        assert await wire.receive() == b""
        wire.close()


async def test_where_checks_begin_late_a_thread_shakes_hands_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(secure, "HANDSHAKES", helpers := Handshakes())
    monkeypatch.setattr(secure, "BUSY_SECONDS", 60.0)
    helpers.free = 1
    threads = []
    step = handshakes.step

    def noted(tls: ssl.SSLObject) -> bool:
        threads.append(threading.current_thread() is threading.main_thread())
        return step(tls)

    monkeypatch.setattr(secure, "step", noted)
    monkeypatch.setattr(handshakes, "step", noted)
    context = trusting()
    async with TcpServer(tls=OURS.good()) as server:
        for seconds in (60.0, -1.0):
            monkeypatch.setattr(handshakes, "RELIEF_SECONDS", seconds)
            helpers.relieve()
            wire = await connected(server)
            await wire.shake_hands(context, "localhost")
            wire.close()
    # The first words are the loop's either way: nothing in them takes long.
    assert threads == [True, False, True, True]


async def test_many_at_once_are_done_by_one_thread_and_all_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handshakes, "RELIEF_SECONDS", 60.0)
    monkeypatch.setattr(secure, "HANDSHAKES", helpers := Handshakes(1))
    helpers.start()
    helpers.relieve()
    by_thread = []
    step = handshakes.step

    def noted(tls: ssl.SSLObject) -> bool:
        by_thread.append(threading.current_thread().name)
        return step(tls)

    monkeypatch.setattr(handshakes, "step", noted)
    context = trusting()
    async with TcpServer(tls=OURS.good()) as server:
        wires = [await connected(server) for _ in range(handshakes.PER_THREAD * 2)]
        hands = [asyncio.create_task(wire.shake_hands(context, "localhost")) for wire in wires]
        hands[3].cancel()
        ended = await asyncio.gather(*hands, return_exceptions=True)
        for wire in wires:
            wire.close()
    assert isinstance(ended.pop(3), asyncio.CancelledError)
    assert {spoken.version() for spoken in ended if not isinstance(spoken, BaseException)} == {
        "TLSv1.3"
    }
    assert helpers.free == handshakes.PER_THREAD
    assert len(by_thread) >= handshakes.PER_THREAD - 1
    assert set(by_thread) == {"handshake_0"}


@pytest.mark.parametrize(
    ("late", "by_thread"),
    [
        (0.0, False),
        (secure.LONG_TURN_SECONDS * 2, False),
        (secure.BUSY_SECONDS * 2, True),
    ],
)
async def test_what_lay_there_while_the_loop_was_busy_is_not_the_targets_time(
    late: float, by_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secure, "HANDSHAKES", helpers := Handshakes())
    helpers.free = 1
    threads, waited = [], []
    step, listen = handshakes.step, TlsWire._listen

    def noted(tls: ssl.SSLObject) -> bool:
        threads.append(threading.current_thread())
        waited.append(wire.waited)
        return step(tls)

    async def lain(wire: TlsWire) -> tuple[bytes, float]:
        data, came_at = await listen(wire)
        while time.perf_counter() < came_at + late:
            pass
        return data, came_at

    monkeypatch.setattr(secure, "step", noted)
    monkeypatch.setattr(handshakes, "step", noted)
    monkeypatch.setattr(TlsWire, "_listen", lain)
    context = trusting()
    async with TcpServer(tls=OURS.good()) as server:
        wire = await connected(server)
        trace = Trace()
        trace.forgive(-1.0)  # of a second that began before
        began = time.perf_counter()
        await wire_module._shake_hands(wire, context, "localhost", trace)
        took = time.perf_counter() - began
        trace.stop()
        wire.close()
    timings = trace.timings()
    assert timings.tls_ms is not None
    assert late <= wire.waited
    # Rounded to three digits.
    assert timings.tls_ms <= (took - wire.waited) * 1010 + 0.1
    assert 990 < timings.total_ms <= (1 + took - wire.waited) * 1010
    assert threads[0] is threading.main_thread()
    # It lay there longer than we left it where this process was held up as well.
    assert waited[1] > secure.BUSY_SECONDS or not by_thread
    assert (threads[1] is not threading.main_thread()) is (waited[1] > secure.BUSY_SECONDS)


@pytest.mark.parametrize("ciphers", ["", "DHE+AES"])
async def test_what_lay_before_a_busy_thread_is_not_the_targets_time(
    ciphers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "RELIEF_SECONDS", 60.0)
    monkeypatch.setattr(secure, "HANDSHAKES", helpers := Handshakes(1))
    helpers.relieve()
    loop, going_on = asyncio.get_running_loop(), threading.Event()
    busy = asyncio.create_task(helpers.slowly(going_on.wait))
    helpers._made().submit(going_on.wait)
    await asyncio.sleep(0)
    once_handed: list[Callable[[], object]] = []

    class Handed(Lain):
        def __init__(self) -> None:
            super().__init__()
            if once_handed:
                once_handed.pop()()

    monkeypatch.setattr(handshakes, "Lain", Handed)
    options = TlsOptions(verify=False, lax=bool(ciphers))

    async def listen(reader: Reader, writer: Writer) -> None:
        await reader.read(1)

    tls = old_server(tmp_path, ciphers) if ciphers else OURS.good()
    async with TcpServer(listen, tls=tls) as server:
        late = await connected(server)
        trace, began = Trace(), time.perf_counter()
        limit = asyncio.timeout(30)
        once_handed.append(lambda: limit.reschedule(loop.time() + 0.2))
        with pytest.raises(TimeoutError):
            async with limit:
                await wire_module._shake_hands(late, make_context(options), "localhost", trace)
        late.close()
        # What its verdict is reached on: that it was us, not the target.
        assert 0.19 < trace.forgiven <= time.perf_counter() - began

        wire, trace = await connected(server), Trace()
        once_handed.append(lambda: loop.call_later(0.2, going_on.set))
        began = time.perf_counter()
        await wire_module._shake_hands(wire, make_context(options), "localhost", trace)
        took = time.perf_counter() - began
        wire.close()
    await busy
    assert trace.forgiven > 0.19
    assert trace.timings().tls_ms is not None
    # Rounded to three digits.
    assert trace.timings().tls_ms <= (took - trace.forgiven) * 1010 + 0.1


@pytest.mark.parametrize("kind", ["https", "ssl", "tcp"])
async def test_every_check_tells_how_long_it_waited_for_a_thread(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "RELIEF_SECONDS", 60.0)
    monkeypatch.setattr(secure, "HANDSHAKES", helpers := Handshakes(1))
    helpers.relieve()
    going_on = threading.Event()
    busy = helpers._made().submit(going_on.wait)
    egress = Egress()
    async with TcpServer(tls=OURS.good()) as server:
        spec = {
            "https": HttpsSpec(name="shop", target=f"https://localhost:{server.port}/"),
            "ssl": SslSpec(name="shop", target="localhost", port=server.port),
            "tcp": TcpSpec(name="shop", target=f"localhost:{server.port}", tls=True),
        }[kind]
        for one in undisturbed():
            with one:
                deadline = asyncio.get_running_loop().time() + 0.3
                reading = await PROBES[kind](spec, deadline, egress)
    going_on.set()
    busy.result(5)
    await egress.close()
    assert reading.failure is Failure.TIMEOUT
    assert reading.own_ms > 100


async def test_much_comes_whole_and_in_pieces() -> None:
    data = bytes(range(256)) * 2_000

    async def much(reader: Reader, writer: Writer) -> None:
        writer.write(data)
        await writer.drain()

    async with TcpServer(much, tls=OURS.good()) as server:
        wire = await connected(server)
        await wire.shake_hands(trusting(), "localhost")
        got = []
        while piece := await wire.receive():
            got.append(piece)
        assert b"".join(got) == data
        assert max(map(len, got)) <= PIECE
        wire.close()


async def test_what_was_sent_arrives_before_it_ends() -> None:
    heard = asyncio.get_running_loop().create_future()
    data = b"x" * 500_000

    async def listen(reader: Reader, writer: Writer) -> None:
        whole = b""
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65_536):
                whole += piece
        heard.set_result(whole)

    async with TcpServer(listen, tls=OURS.good()) as server:
        wire = await connected(server)
        await wire.shake_hands(trusting(), "localhost")
        wire.send(data)
        async with asyncio.timeout(5):
            await wire.finish()
            assert await heard == data


@pytest.mark.parametrize("by_thread", [False, True])
async def test_a_refusal_is_told_to_both_sides(
    by_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secure, "BUSY_SECONDS", -1.0 if by_thread else 60.0)
    helpers = Handshakes()
    helpers.free = 1
    monkeypatch.setattr(secure, "HANDSHAKES", helpers)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> str:
        far, _ = listener.accept()
        with far, pytest.raises(ssl.SSLError) as caught:
            OURS.expired().wrap_socket(far, server_side=True).recv(1)
        return str(caught.value.reason)

    told = asyncio.create_task(asyncio.to_thread(serve))
    sock = socket.create_connection(listener.getsockname())
    sock.setblocking(False)
    wire = TlsWire(sock)
    with pytest.raises(ssl.SSLCertVerificationError):
        await wire.shake_hands(trusting(), "localhost")
    assert "EXPIRED" in await asyncio.wait_for(told, 5)
    assert helpers.free == 1
    wire.close()
    listener.close()


async def test_a_deadline_during_a_step_in_a_thread_gives_the_thread_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(secure, "BUSY_SECONDS", -1.0)
    helpers = Handshakes()
    helpers.free = 1
    monkeypatch.setattr(secure, "HANDSHAKES", helpers)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sock = socket.create_connection(silent.getsockname())
        sock.setblocking(False)
        wire = TlsWire(sock)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await wire.shake_hands(trusting(), "localhost")
        assert helpers.free == 1
        wire.close()


def old_server(place: Path, ciphers: str) -> ssl.SSLContext:
    """A server of TLS 1.2 that has a Diffie-Hellman group of its own choice."""
    # PKCS 3: a modulus of 1,024 bits, which nobody asks whether it is prime, and the base 2.
    modulus = (1 << 1023 | 0xC0FFEE << 900 | 1).to_bytes(129, "big")
    inside = b"\x02\x81\x81" + modulus + b"\x02\x01\x02"
    path = place / "group.pem"
    path.write_text(
        "-----BEGIN DH PARAMETERS-----\n"
        + base64.encodebytes(b"\x30\x81" + bytes([len(inside)]) + inside).decode()
        + "-----END DH PARAMETERS-----\n"
    )
    context = served(OURS.ca.issue_cert("localhost", key_type=trustme.KeyType.RSA))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    context.load_dh_params(path)
    return context


@pytest.mark.parametrize("drip", [False, True])
@pytest.mark.parametrize(
    ("ciphers", "by_thread"), [("DHE+AES", True), ("AES128-SHA", True), ("ECDHE+AESGCM", False)]
)
async def test_what_may_take_a_second_never_holds_the_loop(
    ciphers: str,
    by_thread: bool,
    drip: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(secure, "BUSY_SECONDS", 60.0)
    steps: list[bool] = []
    step = handshakes.step

    def noted(tls: ssl.SSLObject) -> bool:
        steps.append(threading.current_thread() is not threading.main_thread())
        return step(tls)

    monkeypatch.setattr(secure, "step", noted)
    monkeypatch.setattr(handshakes, "step", noted)

    async def listen(reader: Reader, writer: Writer) -> None:
        await reader.read(1)

    async with TcpServer(listen, tls=old_server(tmp_path, ciphers)) as server:
        wire = await connected(server)
        if drip:
            monkeypatch.setattr(plain, "PIECE", 1)
        spoken = await wire.shake_hands(
            make_context(TlsOptions(verify=False, lax=True)), "localhost"
        )
        cipher = spoken.cipher()
        assert cipher is not None
        assert spoken.version() == "TLSv1.2"
        wire.close()
    assert steps[0] is False, "our own first word"
    assert steps[-1] is by_thread
    if not drip:
        assert set(steps[1:]) == {by_thread}


async def test_a_very_long_chain_is_verified_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secure, "BUSY_SECONDS", 60.0)
    path = tmp_path / "server.pem"
    issued = OURS.ca.issue_cert("localhost")
    whole = issued.private_key_and_cert_chain_pem.bytes()
    path.write_bytes(whole + 60 * issued.cert_chain_pems[0].bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    steps: list[bool] = []
    step = handshakes.step

    def noted(tls: ssl.SSLObject) -> bool:
        steps.append(threading.current_thread() is not threading.main_thread())
        return step(tls)

    monkeypatch.setattr(secure, "step", noted)
    monkeypatch.setattr(handshakes, "step", noted)

    async def listen(reader: Reader, writer: Writer) -> None:
        await reader.read(1)

    async with TcpServer(listen, tls=context) as server:
        wire = await connected(server)
        spoken = await wire.shake_hands(trusting(), "localhost")
        assert spoken.version() == "TLSv1.3"
        wire.close()
    assert steps[:2] == [False, False]
    assert steps[-1]


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="no openssl; as root: apt-get install openssl"
)
async def test_shaking_hands_once_more_is_done_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL asks for it where somebody types r, and sends what else is typed."""
    path = tmp_path / "server.pem"
    issued = OURS.ca.issue_cert("localhost", key_type=trustme.KeyType.RSA)
    path.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = await asyncio.create_subprocess_exec(
        *("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-tls1_2", "-naccept", "1"),
        *("-cert", path, "-key", path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    slowly: list[bytes] = []
    monkeypatch.setattr(secure, "HANDSHAKES", helpers := Handshakes())
    by_thread = helpers.slowly

    anew = asyncio.Event()

    async def noted(work: Callable[[], bytes]) -> bytes:
        try:
            slowly.append(await by_thread(work))
        finally:
            if spoken.get_channel_binding() != first:
                anew.set()
        return slowly[-1]

    monkeypatch.setattr(helpers, "slowly", noted)
    try:
        async with asyncio.timeout(10):
            await server.stdout.readuntil(b"ACCEPT\n")
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setblocking(False)
            wire = TlsWire(sock)
            spoken = await wire.shake_hands(trusting(), "localhost")
            first = spoken.get_channel_binding()
            server.stdin.write(b"before\n")
            assert await wire.receive() == b"before\n"
            assert not slowly
            server.stdin.write(b"r\n")
            heard = asyncio.create_task(wire.receive())
            await server.stdout.readuntil(b"SSL_do_handshake -> 1\n")
            await anew.wait()
            server.stdin.write(b"after\n")
            assert await heard == b"after\n" == slowly[-1]
            wire.close()
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.kill()
        await server.communicate()


@pytest.mark.parametrize(
    ("ciphers", "failure"),
    [("DHE+AES", Failure.TLS_HANDSHAKE), ("ECDHE+AESGCM", Failure.TLS_UNTRUSTED)],
)
async def test_whom_strangers_name_chooses_no_group(
    ciphers: str, failure: Failure, tmp_path: Path
) -> None:
    """A webhook shakes hands on the loop itself."""

    async def listen(reader: Reader, writer: Writer) -> None:
        await reader.read(1)

    egress = Egress()
    async with TcpServer(listen, tls=old_server(tmp_path, ciphers)) as server:
        with pytest.raises(DialError) as caught:
            await egress.post(f"https://localhost:{server.port}/", b"", {}, timeout=5)
        assert caught.value.failure is failure
    await egress.close()
