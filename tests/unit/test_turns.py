"""The line of long bodies: each turn of the loop has so much room for them, in virtual time."""

from __future__ import annotations

import asyncio

from netpulse.probes.turns import A_TURN_SECONDS, AT_ONCE, CROWD, Line


class Pieces:
    """Bodies of so many pieces, each of which takes so many seconds; whose piece came when."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 100.0
        self.line = Line(asyncio.get_running_loop(), lambda: self.now)
        self.order: list[int] = []
        self.by_turn: list[int] = []

    async def body(self, number: int, pieces: int) -> None:
        for _ in range(pieces):
            await self.line.turn()
            self.order.append(number)
            self.now += self.seconds

    async def read(self, bodies: int, pieces: int) -> None:
        """Read all of them, and count the pieces of each turn of the loop."""
        tasks = [asyncio.ensure_future(self.body(each, pieces)) for each in range(bodies)]
        while not all(task.done() for task in tasks):
            before = len(self.order)
            await asyncio.sleep(0)
            self.by_turn.append(len(self.order) - before)
        await asyncio.gather(*tasks)


async def test_pieces_that_take_little_share_a_turn() -> None:
    line = Pieces(seconds=A_TURN_SECONDS / 10)
    await line.read(bodies=40, pieces=20)
    assert len(line.order) == 800
    # One in each turn would be eight hundred turns.
    assert len(line.by_turn) < 800 / 5


async def test_pieces_that_take_long_have_a_turn_each() -> None:
    line = Pieces(seconds=2 * A_TURN_SECONDS)
    await line.read(bodies=20, pieces=3)
    assert max(line.by_turn) == 1
    # Whoever came first goes first; the first did so before the others were there.
    others = range(1, 20)
    assert line.order == [0, 0, *others, 0, *others, *others]


async def test_who_gives_up_keeps_nobody_waiting() -> None:
    line = Pieces(seconds=2 * A_TURN_SECONDS)
    tasks = [asyncio.ensure_future(line.body(each, 2)) for each in range(10)]
    await asyncio.sleep(0)
    # Some wait, and some are woken already when they are cancelled.
    for task in tasks[1:9]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert line.order == [0, 0, 9, 9]
    assert len(line.line) == 0


async def test_where_all_who_were_woken_give_up_the_next_have_their_turn() -> None:
    line = Pieces(seconds=2 * A_TURN_SECONDS)
    tasks = [asyncio.ensure_future(line.body(each, 1)) for each in range(AT_ONCE + 6)]
    for _ in range(2):
        await asyncio.sleep(0)
    # The first has had its piece, and so many of the others were woken.
    assert len(line.line) == 5
    for task in tasks[1 : AT_ONCE + 1]:
        task.cancel()
    await asyncio.wait(tasks, timeout=5)
    assert line.order == [0, *range(AT_ONCE + 1, AT_ONCE + 6)]


async def test_more_than_a_crowd_is_seen() -> None:
    line = Pieces(seconds=2 * A_TURN_SECONDS)
    tasks = [asyncio.ensure_future(line.body(each, 1)) for each in range(CROWD + 5)]
    await asyncio.sleep(0)
    assert len(line.line) > CROWD
    await asyncio.gather(*tasks)
    assert len(line.line) == 0


async def test_who_comes_between_is_behind_those_who_were_woken() -> None:
    line = Pieces(seconds=2 * A_TURN_SECONDS)

    async def quick(number: int, pieces: int) -> None:
        for _ in range(pieces):
            await asyncio.sleep(0)  # as a body does of which the next piece is there
            await line.body(number, 1)

    tasks = [asyncio.ensure_future(quick(each, 4)) for each in range(3)]
    await asyncio.gather(*tasks)
    assert [line.order.count(each) for each in range(3)] == [4, 4, 4]
    for each in range(3):
        # Nobody has two pieces while another one waits for its first.
        assert each in line.order[:4], line.order
