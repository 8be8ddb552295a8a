"""The layout is as docs/architecture.md draws it, and no two files lean on each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "netpulse"
TEXT = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def _imports(tree: ast.AST) -> Iterator[str]:
    """Yield what a file imports at some time, what only the type checker reads left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            yield from _imports(node)


def _rings(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of files of which each reaches every other (Tarjan)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    rings: list[list[str]] = []

    def visit(one: str) -> None:
        order[one] = low[one] = len(order)
        stack.append(one)
        for other in sorted(arrows[one]):
            if other not in order:
                visit(other)
                low[one] = min(low[one], low[other])
            elif other in stack:
                low[one] = min(low[one], order[other])
        if low[one] == order[one]:
            ring = stack[stack.index(one) :]
            del stack[stack.index(one) :]
            if len(ring) > 1:
                rings.append(sorted(ring))

    for name in arrows:
        if name not in order:
            visit(name)
    return rings


def test_no_files_import_each_other() -> None:
    assert _rings({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    arrows = {
        name: {to for to in _imports(ast.parse(path.read_text("utf-8"))) if to in MODULES} - {name}
        for name, path in MODULES.items()
    }
    assert sum(map(len, arrows.values())) > 2_000
    assert _rings(arrows) == []


def test_every_package_is_drawn() -> None:
    folders = {
        path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")
    } - {"."}
    assert len(folders) > 10
    named = {folder for folder in folders if f"{folder.rpartition('/')[2]}/" in TEXT}
    assert folders - named == set(), "say in docs/architecture.md what it is for"


def test_what_is_named_is_there() -> None:
    """Paths, and names with dots such as `storage.letters.post`: the file, and what is in it."""
    checked = 0
    for word in re.findall(r"`([\w./]+)`", TEXT):
        if word.endswith((".py", ".js", "/")):
            checked += 1
            places = (ROOT, PACKAGE, PACKAGE / "web", PACKAGE / "storage")
            assert any((place / word).exists() for place in places), word
        elif "." in word and f"netpulse.{word.partition('.')[0]}" in MODULES:
            checked += 1
            parts = f"netpulse.{word}".split(".")
            while ".".join(parts) not in MODULES:
                parts.pop()
            inside = word.split(".")[len(parts) - 1 :]
            text = MODULES[".".join(parts)].read_text("utf-8")
            assert len(parts) > 2, word
            for name in inside:
                assert re.search(rf"\b(def|class) {name}\b|^{name}\b", text, re.MULTILINE), word
    assert checked > 50
