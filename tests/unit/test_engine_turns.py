"""Groups of those who wait, where not all can be looked at at a time."""

from __future__ import annotations

from netpulse.engine.turns import Turns


def test_few_have_their_turn_each_time() -> None:
    turns = Turns()
    assert turns.next([], 3) == []
    for _ in range(2):
        assert turns.next(["a", "b", "c"], 3) == ["a", "b", "c"]


def test_groups_stay_as_they_are() -> None:
    turns = Turns()
    waiting = ["a", "b", "c", "d", "e"]
    seen = [tuple(turns.next(waiting, 2)) for _ in range(6)]
    assert sorted(seen[:3]) == [("a", "b"), ("c", "d"), ("e",)]
    assert sorted(seen[:3]) == sorted(seen[3:])
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
    for _ in range(2):
        turns.next(["a", "b", "c", "d"], 2)
    left = ["b", "d", "e"]
    assert sorted(tuple(turns.next(left, 2)) for _ in range(2)) == [("b", "e"), ("d",)]
    assert turns.next(["d"], 2) == ["d"]
    assert turns.next([], 2) == []


def test_each_round_has_an_order_of_its_own() -> None:
    """Else what comes at regular intervals would always fall to the same group."""
    turns = Turns()
    rounds = [tuple(turns.next("abcd", 1)[0] for _ in range(4)) for _ in range(50)]
    assert all(sorted(one) == list("abcd") for one in rounds)
    assert len(set(rounds)) > 5
