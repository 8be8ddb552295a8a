"""A plain connection read straight from its socket, against real sockets on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from netpulse.probes.plain import PIECE, PlainWire


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection: ours, which does not block, and the far one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    ours.setblocking(False)
    far.settimeout(5)
    try:
        yield ours, far
    finally:
        ours.close()
        far.close()


@asynccontextmanager
async def wired() -> AsyncIterator[tuple[PlainWire, socket.socket]]:
    with pair() as (ours, far):
        wire = PlainWire(ours)
        yield wire, far
        wire.close()


async def test_there_and_back() -> None:
    async with wired() as (wire, far):
        wire.send(b"ping")
        assert far.recv(10) == b"ping"
        assert wire.first_at is None
        far.sendall(b"pong")
        assert await wire.receive() == b"pong"
        assert wire.first_at is not None
        far.shutdown(socket.SHUT_WR)
        assert await wire.receive() == b""
        assert await wire.receive() == b""


async def test_much_comes_in_pieces_and_others_have_their_turn() -> None:
    async with wired() as (wire, far):
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        far.sendall(bytes(20 * PIECE))
        got = 0
        while got < 20 * PIECE:
            piece = await wire.receive()
            assert 0 < len(piece) <= PIECE
            got += len(piece)
        task.cancel()
        assert turns >= 19


async def test_a_whole_number_of_pieces_is_not_the_end() -> None:
    async with wired() as (wire, far):
        far.sendall(bytes(PIECE))
        assert len(await wire.receive()) == PIECE
        waiting = asyncio.create_task(wire.receive())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        far.sendall(b"more")
        assert await waiting == b"more"


async def test_a_reset_shows_when_receiving() -> None:
    async with wired() as (wire, far):
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        far.close()
        await asyncio.sleep(0.02)
        wire.send(b"into the void")
        with pytest.raises(ConnectionResetError):
            await wire.receive()


async def test_a_reset_before_anything_is_said_shows_too() -> None:
    async with wired() as (wire, far):
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        far.close()
        with pytest.raises(ConnectionResetError):
            await wire.receive()


async def test_what_the_far_side_does_not_take_yet_is_sent_later() -> None:
    payload = bytes(range(256)) * 40_000
    async with wired() as (wire, far):
        wire.send(payload[:9_000_000])
        wire.send(payload[9_000_000:])
        finishing = asyncio.create_task(wire.finish())
        await asyncio.sleep(0.02)
        assert not finishing.done()
        got = bytearray()
        while len(got) < len(payload):
            got += await asyncio.to_thread(far.recv, 1 << 20)
        await finishing
        assert got == payload
        assert far.recv(10) == b"", "closed in order, not reset"


async def test_finish_ends_when_the_far_side_goes() -> None:
    async with wired() as (wire, far):
        wire.send(bytes(30_000_000))
        finishing = asyncio.create_task(wire.finish())
        await asyncio.sleep(0.01)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        far.close()
        await asyncio.wait_for(finishing, 5)


async def test_close_resets_what_the_far_side_has_not_closed() -> None:
    with pair() as (ours, far):
        PlainWire(ours).close()
        with pytest.raises(ConnectionResetError):
            far.recv(10)


async def test_close_while_somebody_waits_leaves_nothing_behind() -> None:
    with pair() as (ours, far):
        wire = PlainWire(ours)
        waiting = asyncio.create_task(wire.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        wire.close()
        wire.close()
        # The number may be anybody's now: nothing of ours may still watch it.
        other, end = socket.socketpair()
        with other, end:
            end.send(b"x")
            await asyncio.sleep(0.01)
            assert other.recv(1) == b"x"
        del far
