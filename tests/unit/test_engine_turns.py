"""Groups of those who wait, where not all can be looked at at a time."""

from __future__ import annotations

from netpulse.engine.turns import Turns


def test_few_have_their_turn_each_time() -> None:
    turns = Turns()
    assert turns.next([], 3) == []
    for _ in range(2):
        assert turns.next(["a", "b", "c"], 3) == ["a", "b", "c"]
        assert not turns.are_several


def test_groups_stay_as_they_are() -> None:
    turns = Turns()
    waiting = ["a", "b", "c", "d", "e"]
    seen = [tuple(turns.next(waiting, 2)) for _ in range(6)]
    assert sorted(seen[:3]) == [("a", "b"), ("c", "d"), ("e",)]
    assert seen[:3] == seen[3:]
    assert turns.are_several
    # Who is new joins one with room, and nobody else changes his.
    waiting += ["f", "g"]
    assert sorted(tuple(turns.next(waiting, 2)) for _ in range(4)) == [
        ("a", "b"),
        ("c", "d"),
        ("e", "f"),
        ("g",),
    ]


def test_who_waits_no_more_makes_room() -> None:
    turns = Turns()
    turns.next(["a", "b", "c", "d"], 2)
    left = ["b", "d", "e"]
    assert sorted(tuple(turns.next(left, 2)) for _ in range(2)) == [("b", "e"), ("d",)]
    assert turns.next(["d"], 2) == ["d"]
    assert not turns.are_several
    assert turns.next([], 2) == []
