"""Waiting for sockets by an epoll of our own, against real sockets, on both kinds of loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from netpulse.egress import watch as watching
from netpulse.egress.connect import Egress
from netpulse.egress.trouble import DialError
from netpulse.egress.watch import AT_ONCE, watch
from tests import probing

Pair = tuple[socket.socket, socket.socket]


@contextlib.contextmanager
def pair() -> Iterator[Pair]:
    ours, far = socket.socketpair()
    with ours, far:
        ours.setblocking(False)
        yield ours, far


async def come_and_gone() -> None:
    with pair() as (ours, far):
        for _ in range(3):
            waiting = asyncio.ensure_future(watch().readable(ours.fileno()))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            sent = time.perf_counter()
            far.send(b"a")
            assert sent < await waiting <= time.perf_counter()
            assert ours.recv(10) == b"a"
        far.close()
        await watch().readable(ours.fileno())
        assert ours.recv(10) == b""


async def room_to_write() -> None:
    with pair() as (ours, far):
        await watch().writable(ours.fileno())
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(bytes(65_536))
        waiting = asyncio.ensure_future(watch().writable(ours.fileno()))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        far.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                far.recv(65_536)
        await waiting


async def more_than_one_turn_holds() -> None:
    with contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(pair()) for _ in range(AT_ONCE + 44)]
        waiting = [asyncio.ensure_future(watch().readable(ours.fileno())) for ours, _ in pairs]
        await asyncio.sleep(0)
        for _, far in pairs:
            far.send(b"a")
        await asyncio.gather(*waiting)


async def given_up() -> None:
    """Who is cancelled leaves nothing behind that could wake the next socket of that number."""
    with pair() as (ours, far):
        number = ours.fileno()
        waiting = asyncio.ensure_future(watch().readable(number))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        # Somebody else holds the connection on, so that closing it does not end it.
        held = os.dup(number)
        ours.close()
        with pair() as (next_one, next_far):
            assert next_one.fileno() == number
            waiting = asyncio.ensure_future(watch().readable(number))
            far.send(b"late")
            await asyncio.sleep(0.01)
            assert not waiting.done()
            next_far.send(b"a")
            await waiting
        os.close(held)


async def given_up_as_it_comes() -> None:
    """The event was seen, but whoever waited was cancelled before it had its turn."""
    with pair() as (ours, far):
        waiting = asyncio.ensure_future(watch().readable(ours.fileno()))
        await asyncio.sleep(0)
        far.send(b"a")
        watch()._look()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await watch().readable(ours.fileno())


async def one_that_breaks() -> None:
    """A mistake in what one is told keeps nobody else from hearing."""
    broken: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: broken.append(told))
    with pair() as (ours, far), pair() as (other, other_far):
        watch().call(ours.fileno(), lambda now: 1 // 0, writing=False)
        waiting = asyncio.ensure_future(watch().readable(other.fileno()))
        await asyncio.sleep(0)
        far.send(b"a")
        other_far.send(b"a")
        await waiting
    assert len(broken) == 1


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(
    "story",
    [
        come_and_gone,
        room_to_write,
        more_than_one_turn_holds,
        given_up,
        given_up_as_it_comes,
        one_that_breaks,
    ],
)
def test_waiting(
    story: Callable[[], Coroutine[Any, Any, None]],
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(story())


async def test_no_descriptor_for_it_is_our_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(watching._latest, "watch", None)
    monkeypatch.setattr(watching.select, "epoll", none_left)
    with pytest.raises(DialError, match="no file descriptor left"):
        watch()


class Full:
    """An epoll of a user who may wait for no more sockets."""

    def __init__(self, inner: select.epoll) -> None:
        self.inner = inner
        self.fileno, self.poll = inner.fileno, inner.poll

    def register(self, descriptor: int, events: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_no_room_to_wait_is_our_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching._latest, "watch", None)
    full = Full(select.epoll())
    monkeypatch.setattr(watching.select, "epoll", lambda: full)
    egress = Egress()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        question: dict[str, Any] = {
            "kind": "dns",
            "record_type": "A",
            "nameserver": f"127.0.0.1:{silent.getsockname()[1]}",
        }
        try:
            seen = await probing.check(egress, "a.example", **question)
            assert seen.said == "inconclusive own_limit"
            assert (
                seen.message
                == "this host has nothing left to connect with: No space left on device"
            )
            # The engine then leaves it to the probe.
            with pytest.raises(DialError, match="nothing left to connect with"):
                await probing.light_check(egress, "a.example", **question)
        finally:
            await egress.close()
