"""JSON answers: reading them, finding a node by JSONPath (RFC 9535), comparing by JSON type.

Both the expression and the document come from outside, so an evaluation has a budget of steps
and fails beyond it, rather than holding up the checks of others.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import msgspec
from jsonpath import JSONPath, JSONPathEnvironment, JSONPathMatch, NodeList
from jsonpath.exceptions import JSONPathError, JSONPathTypeError
from jsonpath.filter import UNDEFINED, BaseExpression, StringLiteral
from jsonpath.function_extensions import ExpressionType, FilterFunction
from jsonpath.parse import Parser
from jsonpath.segments import (
    JSONPathChildSegment,
    JSONPathRecursiveDescentSegment,
    JSONPathSegment,
)
from jsonpath.stream import TokenStream
from jsonpath.token import Token

from netpulse.rules import patterns

STEPS = 300_000
"""Nodes visited and comparisons made that one evaluation may take; about half a second."""

_DEEPEST = 100
_CHARACTERS_A_STEP = 256
_PATTERN_WORK_A_STEP = 4_000


class PathError(ValueError):
    """An expression that cannot be used; the message says why."""


class DocumentError(ValueError):
    """A document that cannot be read, or that an expression cannot be evaluated on."""


def decoded(body: bytes) -> Any:
    """Return the value of a JSON document in UTF-8 (RFC 8259; a byte order mark is skipped).

    Raises:
        DocumentError: it is not JSON, or nested too deeply.
    """
    try:
        return msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except RecursionError:
        raise DocumentError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise DocumentError("it has text that is not UTF-8") from None
    except msgspec.DecodeError as trouble:
        raise DocumentError(str(trouble).removeprefix("JSON is malformed: ")) from None


@functools.lru_cache(maxsize=1024)
def path(text: str) -> JSONPath:
    """Return a JSONPath expression, compiled strictly as RFC 9535 says.

    Raises:
        PathError: it is none, or uses a pattern that RE2 does not compile.
    """
    if not text.startswith("$"):
        raise PathError("a JSONPath starts with $, such as $.status")
    try:
        compiled = _ENVIRONMENT.compile(text)
    except RecursionError:  # includes JSONPathRecursionError
        raise PathError("it is nested too deeply") from None
    except JSONPathError as trouble:
        raise PathError(_words(trouble)) from None
    except (ValueError, ArithmeticError):  # a number that no float or index holds
        raise PathError("it has a number that is out of range") from None
    if not isinstance(compiled, JSONPath):
        raise PathError("it joins several paths, which RFC 9535 does not know")
    return compiled


def first(text: str, document: Any) -> tuple[bool, Any]:
    """Return whether the expression selects anything in the document, and the first value.

    Raises:
        PathError: the expression is none.
        DocumentError: it needs too many steps on this document, or goes too deep.
    """
    expression = path(text)
    if isinstance(document, str):
        # The library would read it as a document of its own; a text has no children.
        return (True, document) if expression.empty() else (False, None)
    token = _BUDGET.set([STEPS])
    try:
        match = next(iter(expression.finditer(document)), None)
    except _BudgetSpent:
        raise DocumentError(f"the document is too large for it ({STEPS:,} steps)") from None
    except RecursionError:
        raise DocumentError(f"the document is nested deeper than {_DEEPEST} levels") from None
    except JSONPathError as trouble:
        raise DocumentError(_words(trouble)) from None
    finally:
        _BUDGET.reset(token)
    return (False, None) if match is None else (True, match.obj)


def equal(left: Any, right: Any) -> bool:
    """Tell whether two JSON values are equal by JSON type: 1 is 1.0, but neither true nor "1"."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if isinstance(left, str) and isinstance(right, str):
        _spend(min(len(left), len(right)) // _CHARACTERS_A_STEP)
        return left == right
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        if len(left) != len(right):
            return False
        _spend(len(left))
        return all(equal(one, other) for one, other in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            return False
        _spend(len(left))
        return all(equal(value, right[key]) for key, value in left.items())
    return left is None and right is None


class _BudgetSpent(Exception):
    """An evaluation took more steps than it may."""


_BUDGET: ContextVar[list[int] | None] = ContextVar("json path budget", default=None)


def _spend(steps: int) -> None:
    budget = _BUDGET.get()
    if budget is not None:
        budget[0] -= steps
        if budget[0] < 0:
            raise _BudgetSpent


class _Node(JSONPathMatch):
    """A match that keeps no path and no relatives: paths of long keys would fill the memory."""

    __slots__ = ()

    def __init__(self, obj: object, root: Any) -> None:
        super().__init__(filter_context={}, obj=obj, parent=None, path="", parts=(), root=root)

    def new_child(self, obj: object, key: int | str) -> JSONPathMatch:
        return _Node(obj, self.root)

    def add_child(self, *children: JSONPathMatch) -> None:
        pass


def _node(match: JSONPathMatch) -> JSONPathMatch:
    return match if isinstance(match, _Node) else _Node(match.obj, match.root)


class _Child(JSONPathChildSegment):
    def resolve(self, nodes: Iterable[JSONPathMatch]) -> Iterable[JSONPathMatch]:
        return _selected(self, nodes)


class _Descent(JSONPathRecursiveDescentSegment):
    def resolve(self, nodes: Iterable[JSONPathMatch]) -> Iterable[JSONPathMatch]:
        return _selected(self, (found for node in nodes for found in self._visit(_node(node))))


def _selected(segment: JSONPathSegment, nodes: Iterable[JSONPathMatch]) -> Iterable[JSONPathMatch]:
    for match in nodes:
        _spend(1)
        if isinstance(match.obj, str):
            continue  # the library would slice a text into characters
        node = _node(match)
        for selector in segment.selectors:
            for found in selector.resolve(node):
                _spend(1)
                yield found


class _Parser(Parser):
    """The library's parser, with segments that keep to the budget."""

    def parse_query(self, stream: TokenStream) -> Iterable[JSONPathSegment]:
        for segment in super().parse_query(stream):
            descends = isinstance(segment, JSONPathRecursiveDescentSegment)
            kind = _Descent if descends else _Child
            yield kind(env=segment.env, token=segment.token, selectors=segment.selectors)


class _Regex(FilterFunction):
    """match() or search(), through RE2; the pattern is a literal and compiled beforehand."""

    arg_types = [ExpressionType.VALUE, ExpressionType.VALUE]  # noqa: RUF012 (the library's way)
    return_type = ExpressionType.LOGICAL

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole

    def __call__(self, value: object, pattern: object) -> bool:
        if not isinstance(value, str) or not isinstance(pattern, str):
            return False
        text = value.encode("utf-8", "replace")
        compiled = patterns.compiled_iregexp(pattern)
        _spend(1 + compiled.cost(len(text)) // _PATTERN_WORK_A_STEP)
        return compiled.covers(text) if self._whole else compiled.finds(text)


class _Environment(JSONPathEnvironment):
    parser_class = _Parser
    max_recursion_depth = _DEEPEST

    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        self.function_extensions["match"] = _Regex(whole=True)
        self.function_extensions["search"] = _Regex(whole=False)

    def check_well_typedness(
        self, token: Token, func: FilterFunction, args: list[BaseExpression]
    ) -> None:
        super().check_well_typedness(token, func, args)
        if not isinstance(func, _Regex):
            return
        pattern = args[1]
        if not isinstance(pattern, StringLiteral):
            raise JSONPathTypeError(
                f"the pattern of {token.value}() must be written out as a string", token=token
            )
        try:
            patterns.compiled_iregexp(pattern.value)
        except patterns.PatternError as trouble:
            raise JSONPathTypeError(
                f"the pattern of {token.value}(): {trouble}", token=token
            ) from None

    def is_truthy(self, obj: object) -> bool:
        _spend(1)
        return super().is_truthy(obj)

    def _eq(self, left: object, right: object) -> bool:
        _spend(1)
        for side in (left, right):
            if side is UNDEFINED or isinstance(side, NodeList):
                return super()._eq(left, right)
        return equal(left, right)

    def _lt(self, left: object, right: object) -> bool:
        _spend(1)
        if isinstance(left, bool) or isinstance(right, bool):
            return False  # RFC 9535, 2.3.5.2.2: only numbers and texts have an order
        if isinstance(left, str) and isinstance(right, str):
            _spend(min(len(left), len(right)) // _CHARACTERS_A_STEP)
        return super()._lt(left, right)


# Caching would copy a filter's whole tree for each node it is applied to.
_ENVIRONMENT = _Environment(strict=True, filter_caching=False)


def _words(trouble: JSONPathError) -> str:
    """Return the library's complaint without its names for tokens, and with a column from 1."""
    said = str(trouble.args[0]) if trouble.args else "it cannot be read"
    if "TOKEN_" in said:
        said = "something else was expected"
    token = trouble.token
    return said if token is None or token.index < 0 else f"{said} (column {token.index + 1})"
