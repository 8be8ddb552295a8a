"""docs/security.md names tests that are there, and leaves no item out."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text("utf-8")
ITEMS = 48
CLASSES = 24
"""Kinds of attack that are each tried."""


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str, columns: int) -> list[list[str]]:
    """Return the rows of a section's tables that have so many columns, without their heads."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in found if len(row) == columns and not set(row[0]) <= {"-"}][1:]


NAMED = sorted(set(re.findall(r"`((?:[a-z]+)/test_\w+\.py(?:::\w+)*)`", TEXT)))


@cache
def names_in(path: Path) -> dict[str, set[str]]:
    """Return the tests of a file: by class, and those of no class under ""."""
    found: dict[str, set[str]] = {"": set()}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[""].add(node.name)
        elif isinstance(node, ast.ClassDef):
            found[node.name] = {
                each.name
                for each in node.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return found


@pytest.mark.parametrize("named", NAMED)
def test_each_named_test_is_there(named: str) -> None:
    file, *parts = named.split("::")
    path = ROOT / "tests" / file
    assert path.exists(), named
    found = names_in(path)
    assert any(name.startswith("test_") for names in found.values() for name in names), named
    match parts:
        case [name] if name.startswith("test_"):
            assert name in found[""], named
        case [name]:
            assert found.get(name), named
        case [holder, name]:
            assert name in found.get(holder, set()), named


def test_enough_is_named() -> None:
    assert len(NAMED) > 100


def test_every_item_of_the_checklist_has_its_test() -> None:
    listed = rows("The checklist", 4)
    assert [int(row[0]) for row in listed] == list(range(1, ITEMS + 1))
    for number, asvs, holds, tests in listed:
        assert re.fullmatch(r"\d+\.\d+\.\d+(, \d+\.\d+\.\d+)*", asvs), number
        assert len(holds) > 20, number
        assert re.search(r"`[a-z]+/test_\w+\.py", tests), f"item {number} names no test"


def test_every_class_of_attack_has_its_test() -> None:
    listed = rows("Classes of attack", 3)
    assert len(listed) == len({row[0] for row in listed}) >= CLASSES
    for name, tried, tests in listed:
        assert re.search(r"`[a-z]+/test_\w+\.py", tests) or "not applicable" in tried, name


def test_every_test_of_security_is_named() -> None:
    """A new file of attacks belongs into the table."""
    files = {path.name for path in (ROOT / "tests" / "security").glob("test_*.py")}
    assert {name for name in files if f"security/{name}" not in TEXT} == set()
