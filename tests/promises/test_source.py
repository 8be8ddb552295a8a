"""What the source never does: build SQL or patterns from what people write, unpack what runs, parse
what expands, or read an answer without an end.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "netpulse"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text("utf-8")) for path in FILES}

_SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|ORDER BY|PRAGMA|ATTACH|WHERE)\b")
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def nodes(kind: type[ast.AST]) -> Iterator[tuple[Path, ast.AST]]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, kind):
                yield path, node


# SQL

_CONDITION = "a condition written in the caller, its values bound beside it"
_MARKS = "question marks, one for each value that is bound"
_COLUMN = "a column of the list of sealed columns, which is written in the source"
OURS = {
    ("audit.py", "where.sql"): _CONDITION,
    ("claims.py", "which"): _CONDITION,
    ("clients.py", "where"): _CONDITION,
    ("closing.py", "condition"): _CONDITION,
    ("closing.py", "table"): "a table, named in the caller",
    ("maintenances.py", "_COVERED.format(all=2, ids=3, tags=4)"): "numbers of parameters",
    ("migrations/__init__.py", "number"): "the number of a migration",
    ("monitor_list.py", "keys"): "a query made of the condition below",
    ("monitor_list.py", "_index(wanted, _NAME)"): "an index, named in the module",
    ("monitor_list.py", "_index(wanted, order)"): "an index, named in the module",
    ("monitor_list.py", "where"): _CONDITION,
    ("notice_list.py", "part.index"): "an index, named in the module",
    ("notice_list.py", "part.where"): _CONDITION,
    ("places.py", "role"): "a word of the closed list of roles, or a column",
    ("raw/files.py", "schema"): "a layout, written in the source",
    ("raw/files.py", "version"): "the number of a layout",
    ("raw/month.py", "stretch.table"): "one of two tables, written in the source",
    ("rollups.py", "table"): "one of two tables, named in the caller",
    ("rotation.py", "column.column"): _COLUMN,
    ("rotation.py", "column.row"): _COLUMN,
    ("rotation.py", "column.table"): _COLUMN,
    ("sealed.py", "column.column"): _COLUMN,
    ("sealed.py", "column.label"): _COLUMN,
    ("sealed.py", "column.row"): _COLUMN,
    ("incident_list.py", "where"): _CONDITION,
    ("incident_list.py", "_index(wanted)"): "an index, named in the module",
    ("incident_list.py", "ids"): "a query made of the condition above, or the module's own",
    ("exposure.py", "what"): "a table with a condition of the module's own",
    ("sealed.py", "column.table"): _COLUMN,
    ("sealed.py", "org"): _COLUMN,
    ("sealed.py", "which"): _CONDITION,
    ("status_page_domains.py", "condition"): _CONDITION,
    ("status_pages.py", "condition"): _CONDITION,
    ("table.py", "changes"): "columns of a Table, each with a question mark",
    ("table.py", "condition"): _CONDITION,
    ("table.py", "marks(values)"): _MARKS,
    ("table.py", "names"): "columns of a Table",
    ("standings.py", "told"): "the beginning of a query, with or without holes",
}
"""What else is put into SQL, and why nobody outside can say what it is."""


def test_sql_is_made_of_our_own_words() -> None:
    """Values are bound; what is put into the text of a statement is written in the source, or OURS
    says why it is nobody else's."""
    found: dict[tuple[str, str], int] = {}
    seen = 0
    for path, tree in TREES.items():
        if not path.is_relative_to(PACKAGE / "storage"):
            continue
        for function in [tree, *_functions(tree)]:
            for node in _within(function):
                if not isinstance(node, ast.JoinedStr) or not _SQL.search(_text(node)):
                    continue
                seen += 1
                for part in _filled(node):
                    if not _ours(part, function):
                        where = str(path.relative_to(PACKAGE / "storage"))
                        found[where, ast.unparse(part)] = node.lineno
    assert seen > 50
    unknown = {key: line for key, line in found.items() if key not in OURS}
    assert unknown == {}, "bind it, or say in OURS why nobody outside says what it is"
    assert set(OURS) - set(found) == set(), "explained, and not there any more"


def _functions(tree: ast.AST) -> list[ast.AST]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def _within(function: ast.AST) -> Iterator[ast.AST]:
    """Yield what is in a function itself, not in one inside of it."""
    for child in ast.iter_child_nodes(function):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _within(child)


def _text(node: ast.JoinedStr) -> str:
    return "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))


def _filled(node: ast.JoinedStr) -> list[ast.expr]:
    return [part.value for part in node.values if isinstance(part, ast.FormattedValue)]


def _ours(node: ast.expr, function: ast.AST) -> bool:
    """Tell whether a text is written in the source: literals, constants, and what is made of them
    alone in this function."""
    parts: list[ast.expr] | None = None
    if isinstance(node, ast.Constant):
        parts = []
    elif isinstance(node, ast.Name):
        return _CONSTANT.fullmatch(node.id) is not None or _made_of_ours(node.id, function)
    elif isinstance(node, ast.JoinedStr):
        parts = _filled(node)
    elif isinstance(node, ast.BinOp):
        # A text as often as something is long is as harmless as the text.
        counts = isinstance(node.op, ast.Mult) and ast.unparse(node.right).startswith("len(")
        parts = [node.left] if counts else [node.left, node.right]
    elif isinstance(node, ast.IfExp):
        parts = [node.body, node.orelse]
    elif isinstance(node, ast.List | ast.Tuple):
        parts = node.elts
    elif isinstance(node, ast.Starred):
        parts = [node.value]
    elif isinstance(node, ast.Subscript):
        # Of a table of ours whatever is chosen is ours.
        parts = [node.value]
    elif isinstance(node, ast.Attribute):
        # A Table's own names, given when it was made; a constant of another module.
        holder = ast.unparse(node.value)
        return holder == "self" or _CONSTANT.fullmatch(node.attr) is not None
    elif isinstance(node, ast.GeneratorExp | ast.ListComp):
        own = {
            each.id for each in ast.walk(node.generators[0].target) if isinstance(each, ast.Name)
        }
        used = [each for each in ast.walk(node.elt) if isinstance(each, ast.Name)]
        parts = [node.generators[0].iter, *(each for each in used if each.id not in own)]
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"join", "split", "replace", "removeprefix"}
    ):
        parts = [node.func.value, *node.args]
    return parts is not None and all(_ours(part, function) for part in parts)


def _made_of_ours(name: str, function: ast.AST) -> bool:
    """Tell whether every value that a local name is given is written in the source."""
    values: list[ast.expr] = []
    for node in _within(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                values += _given(name, target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign) and node.value is not None:
            values += _given(name, node.target, node.value)
        elif isinstance(node, ast.For | ast.comprehension):
            values += _given(name, node.target, node.iter)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == name
            and node.func.attr in {"append", "extend"}
        ):
            # A condition that is added to a list of them.
            values += node.args
    names = {each.id for value in values for each in ast.walk(value) if isinstance(each, ast.Name)}
    return bool(values) and name not in names and all(_ours(each, function) for each in values)


def _given(name: str, target: ast.expr, value: ast.expr) -> list[ast.expr]:
    """Return what an assignment gives to a name."""
    if isinstance(target, ast.Name):
        return [value] if target.id == name else []
    if isinstance(target, ast.Tuple):
        at = [ast.unparse(each) for each in target.elts]
        if name in at:
            same = isinstance(value, ast.Tuple) and len(value.elts) == len(at)
            return [value.elts[at.index(name)] if same and isinstance(value, ast.Tuple) else value]
    return []


def test_only_storage_has_statements() -> None:
    statement = re.compile(r"^\s*(SELECT .* FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM) ")
    for path, node in nodes(ast.Constant):
        assert isinstance(node, ast.Constant)
        if isinstance(node.value, str) and statement.match(node.value):
            assert "storage" in path.parts, f"{named(path)}:{node.lineno}"


# Patterns

PATTERNS = {"compile", "match", "fullmatch", "search", "findall", "finditer", "split", "sub"}


def test_a_pattern_of_a_persons_never_meets_the_backtracking_engine() -> None:
    """Whatever `re` compiles is written here; what people write goes to RE2 (`rules.patterns`)."""
    seen = 0
    for path, node in nodes(ast.Call):
        assert isinstance(node, ast.Call)
        function = node.func
        if (
            not isinstance(function, ast.Attribute)
            or not isinstance(function.value, ast.Name)
            or function.value.id != "re"
            or function.attr not in PATTERNS
        ):
            continue
        seen += 1
        assert _is_written(node.args[0]), f"{named(path)}:{node.lineno}: {ast.unparse(node)}"
    assert seen > 50


def _is_written(node: ast.expr) -> bool:
    """Tell whether a pattern consists of literals, constants and what `re.escape` made safe."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Name):
        return _CONSTANT.fullmatch(node.id) is not None
    if isinstance(node, ast.BinOp):
        return _is_written(node.left) and _is_written(node.right)
    if isinstance(node, ast.JoinedStr):
        return all(
            _is_written(part.value) if isinstance(part, ast.FormattedValue) else True
            for part in node.values
        )
    if isinstance(node, ast.Call):
        # What is joined of placeholders of ours, or made safe.
        name = ast.unparse(node.func)
        if name.endswith(".encode") and isinstance(node.func, ast.Attribute):
            return _is_written(node.func.value)
        return name == "re.escape" or (
            name.endswith(".join") and all(_is_written(each) for each in node.args)
        )
    return False


# What is never used

NEVER = {
    "pickle": "loading one runs what is in it",
    "marshal": "the same",
    "shelve": "a pickle inside",
    "yaml": "tags that make objects",
    "xml": "entities that expand",
    "lxml": "the same",
    "defusedxml": "no target's body is parsed as XML",
    "xmlrpc": "the same",
    "tarfile": "paths and links out of the archive",
    "telnetlib": "in clear",
    "ftplib": "in clear",
}


def test_what_is_never_imported() -> None:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                assert name.partition(".")[0] not in NEVER, f"{named(path)} imports {name}"


def test_what_is_never_called() -> None:
    never = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
    for path, node in nodes(ast.Call):
        assert isinstance(node, ast.Call)
        assert ast.unparse(node.func) not in never, f"{named(path)}:{node.lineno}"
        for keyword in node.keywords:
            if keyword.arg == "shell":
                raise AssertionError(f"{named(path)}:{node.lineno} uses a shell")


def test_templates_escape_everything() -> None:
    for path in (PACKAGE / "web" / "templates").rglob("*.*"):
        if path.suffix in {".html", ".xml", ".svg"}:
            text = path.read_text("utf-8")
            for switch in ("|safe", "| safe", "autoescape false", "Markup("):
                assert switch not in text, f"{named(path)}: {switch}"
    for path, node in nodes(ast.Call):
        assert isinstance(node, ast.Call)
        if ast.unparse(node.func) == "Environment":
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert given.get("autoescape") == "True", named(path)


def test_nothing_secret_is_drawn_from_what_can_be_foreseen() -> None:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import) and "simulation" not in path.parts:
                for alias in node.names:
                    if alias.name == "random":
                        assert named(path) in RANDOM, f"{named(path)}: {RANDOM_WHY}"


RANDOM = {
    "netpulse/engine/dispatcher.py": "how long until a message is tried again",
    "netpulse/engine/page_webhooks.py": "the same, of news for a subscriber's webhook",
    "netpulse/engine/postman.py": "the same, of a letter",
    "netpulse/engine/turns.py": "which group has its turn first while the disk takes nothing",
}
RANDOM_WHY = "say in RANDOM what is drawn, and why nobody gains by knowing it"
