"""What is written to standard error when nobody takes it."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import select
import sys
from collections.abc import Iterator

import pytest

from netpulse.log import Lines, TextLines, announce

PIPE_BYTES = 8192


@pytest.fixture
def pipe() -> Iterator[tuple[int, Lines]]:
    """The end that is read, and what writes to the other one."""
    if sys.platform != "linux":
        pytest.skip("a pipe's size is set on Linux only: run on Linux")
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    lines = Lines(writer)
    lines.setFormatter(TextLines())
    yield reader, lines
    os.close(reader)
    os.close(writer)


def say(lines: Lines, text: str) -> None:
    lines.emit(logging.makeLogRecord({"name": "netpulse.x", "levelname": "INFO", "msg": text}))


def taken(reader: int) -> list[str]:
    """Return what is in the pipe, by line, without the times."""
    found = os.read(reader, 1 << 20).decode().split("\n")
    return [line.partition("Z ")[2] or line for line in found]


def test_a_full_pipe_costs_the_lines_and_no_time(pipe: tuple[int, Lines]) -> None:
    reader, lines = pipe
    long = "x" * 5000
    say(lines, long)  # fits, and leaves no page free
    say(lines, "second")
    say(lines, "third")
    assert taken(reader) == [f"INFO x: {long}", ""]
    say(lines, "fourth")
    assert taken(reader) == [
        "WARNING log: nobody took what was written here; lines lost: 2",
        "INFO x: fourth",
        "",
    ]
    say(lines, "fifth")
    assert taken(reader) == ["INFO x: fifth", ""]


def test_a_line_that_was_torn_is_ended(pipe: tuple[int, Lines]) -> None:
    reader, lines = pipe
    say(lines, "y" * 20_000)
    torn, *rest = taken(reader)
    assert torn.startswith("INFO x: yyy")
    assert 4000 < len(torn) < 20_000
    assert rest == []
    say(lines, "after it")
    assert taken(reader) == [
        "",
        "WARNING log: nobody took what was written here; lines lost: 1",
        "INFO x: after it",
        "",
    ]


def test_a_line_that_was_torn_is_ended_after_others_that_were_lost(pipe: tuple[int, Lines]) -> None:
    reader, lines = pipe
    say(lines, "y" * 20_000)
    say(lines, "nothing of it is taken")
    taken(reader)
    say(lines, "after them")
    assert taken(reader) == [
        "",
        "WARNING log: nobody took what was written here; lines lost: 2",
        "INFO x: after them",
        "",
    ]


@pytest.mark.timeout(20)
def test_a_terminal_that_takes_nothing_is_not_waited_for() -> None:
    screen, terminal = pty.openpty()
    try:
        lines = Lines(terminal)
        for number in range(2_000):
            say(lines, f"{number} {'x' * 200}")
        said = b""
        while b"reads again" not in said:
            while select.select([screen], [], [], 0.05)[0]:
                said += os.read(screen, 65_536)
            say(lines, "somebody reads again")
        assert said.startswith(b"0 xxx")
        assert b"nobody took what was written here; lines lost: " in said
        assert os.get_blocking(terminal), "the shell has it too"
    finally:
        os.close(screen)
        os.close(terminal)


@pytest.mark.timeout(20)
def test_what_a_start_announces_is_not_waited_for(
    pipe: tuple[int, Lines], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A supervisor's pipe may be full from the process before."""
    reader, lines = pipe
    caplog.set_level(logging.INFO)
    with os.fdopen(lines._descriptor, "w", closefd=False) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        announce("NetPulse is watching.\n")
        assert taken(reader) == ["NetPulse is watching.", ""]
        say(lines, "y" * 20_000)
        os.set_blocking(lines._descriptor, False)  # or the test would hang, too, if it waited
        announce("NetPulse is watching.\n")
        assert [record.getMessage() for record in caplog.records] == [
            f"{stream.name} takes nothing: nobody reads it"
        ]
        assert "watching" not in "".join(taken(reader))
        monkeypatch.undo()


def test_a_reader_that_is_gone_costs_the_lines(
    pipe: tuple[int, Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    reader, lines = pipe
    nobody = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nobody, reader)
    os.close(nobody)
    say(lines, "for nobody")
    say(lines, "for nobody either")
    assert capsys.readouterr() == ("", ""), "that is no error of ours, which Python would print"
