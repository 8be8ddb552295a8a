"""A TLS server that says why it refuses: asyncio's closes the connection without a word."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator

from tests.servers import answer


@contextlib.asynccontextmanager
async def alerting(context: ssl.SSLContext, reply: bytes = answer(200)) -> AsyncIterator[int]:
    """A blocking TLS server on a thread: unlike asyncio's it sends the alert when it refuses."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            # The copy keeps the connection open behind a refusal: closing it with the request
            # unread would be a reset, which overtakes the alert.
            with sock.dup() as copy, contextlib.suppress(OSError):
                sock.settimeout(3)
                copy.settimeout(3)
                try:
                    with context.wrap_socket(sock, server_side=True) as spoken:
                        spoken.recv(4096)
                        spoken.sendall(reply)
                finally:
                    copy.shutdown(socket.SHUT_WR)
                    while copy.recv(4096):
                        pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        await asyncio.to_thread(thread.join)
