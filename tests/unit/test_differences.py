"""What changed, as people read it; and cells that no spreadsheet runs."""

from __future__ import annotations

from typing import Any

import pytest

from netpulse.rules.cells import defused
from netpulse.rules.differences import Difference, differences, shown


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"name": "Shop"}, {"name": "Shop"}, []),
        ({"name": "Shop"}, {"name": "Store"}, [("name", "Shop", "Store")]),
        ({"a": 1, "version": 1, "updated_at": "x"}, {"a": 1, "version": 2, "updated_at": "y"}, []),
        ({"paused": False}, {"paused": True}, [("paused", "no", "yes")]),
        ({"n": 1}, {"n": True}, [("n", "1", "yes")]),
        ({"n": None}, {}, []),
        ({}, {"n": []}, []),
        ({"n": 0}, {}, [("n", "0", None)]),
        ({}, {"n": 0}, [("n", None, "0")]),
        ({"tags": ["a", "b"]}, {"tags": ["a"]}, [("tags", "a, b", "a")]),
        ({"tags": []}, {"tags": ["a"]}, [("tags", "–", "a")]),
        (
            {"auth": {"type": "basic", "username": "u"}},
            {"auth": {"type": "basic", "username": "v"}},
            [("auth.username", "u", "v")],
        ),
        (
            {"auth": None},
            {"auth": {"type": "basic", "username": "v"}},
            [("auth.type", None, "basic"), ("auth.username", None, "v")],
        ),
        (
            {"quiet": [{"from": "22:00"}]},
            {"quiet": [{"from": "23:00"}]},
            [("quiet", '[{"from": "22:00"}]', '[{"from": "23:00"}]')],
        ),
        ("viewer", "admin", [("value", "viewer", "admin")]),
        # Made, and removed: what it was made as.
        (
            None,
            {"id": "1", "org_id": "2", "version": 1, "created_at": "x", "name": "Shop", "body": "", "tags": [], "follow": False},
            [("name", None, "Shop"), ("follow", None, "no")],
        ),
        ({"id": "1", "name": "Shop", "auth": {"username": "u"}}, None, [("name", "Shop", None), ("auth.username", "u", None)]),
        (None, None, []),
    ],
)  # fmt: skip
def test_differences(
    before: Any, after: Any, found: list[tuple[str, str | None, str | None]]
) -> None:
    assert differences(before, after) == [Difference(*each) for each in found]


def test_long_values_are_cut_and_deep_ones_compared_as_a_whole() -> None:
    assert shown("x" * 300) == "x" * 300
    assert shown("x" * 301) == "x" * 299 + "…"
    deep: dict[str, Any] = {"e": 1}
    for name in "dcba":
        deep = {name: deep}
    (difference,) = differences({}, deep)
    assert difference == Difference("a.b.c.d", None, '{"e": 1}')


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("＝1+1", "'＝1+1"),
        ("'=1", "'=1"),
        ("Shop", "Shop"),
        ("1=1", "1=1"),
        ("x;=1+1", "x;'=1+1"),
        ("x; \t@SUM(A1)", "x; \t'@SUM(A1)"),
        ("Mozilla/5.0 (X11; Linux)", "Mozilla/5.0 (X11; Linux)"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(text: str, safe: str) -> None:
    assert defused(text) == safe
