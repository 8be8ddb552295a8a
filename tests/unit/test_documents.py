"""JSONPath: RFC 9535 and nothing else, within a budget of steps."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

from netpulse.rules import patterns
from netpulse.rules.documents import DocumentError, PathError, decoded, equal, first, path

STORE = {
    "store": {
        "book": [
            {"title": "Sayings", "price": 8.95, "tags": ["old"]},
            {"title": "Sword", "price": 12.99, "isbn": "0-553"},
            {"title": "Moby Dick", "price": 8.99, "isbn": "0-553-21311-3"},
        ],
        "a.b": {"o'clock": 5},
        "empty": None,
    }
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$.store.book[0].title", "Sayings"),
        ("$['store']['book'][-1].title", "Moby Dick"),
        ('$.store["a.b"]["o\'clock"]', 5),
        ("$.store['a.b']['o\\'clock']", 5),
        ("$..price", 8.95),
        ("$.store.book[1:].title", "Sword"),
        ("$.store.book[::-1].title", "Moby Dick"),
        ("$.store.book[?@.isbn].title", "Sword"),
        ("$.store.book[?@.price < 9 && @.isbn].title", "Moby Dick"),
        ("$.store.book[?@.price == 12.99].title", "Sword"),
        ("$.store.book[?!@.isbn].title", "Sayings"),
        ("$.store.book[?count(@.tags[*]) == 1].title", "Sayings"),
        ("$.store.book[?length(@.title) == 5].title", "Sword"),
        ("$.store.book[?match(@.title, 'S.ord')].title", "Sword"),
        ("$.store.book[?search(@.title, 'by D')].title", "Moby Dick"),
        ("$.store.book[?value(@.tags[0]) == 'old'].title", "Sayings"),
        ("$.store.book[?@.title == $.store.book[2].title].price", 8.99),
        ("$.store.empty", None),
        ("$.store.*[0].title", "Sayings"),
    ],
)
def test_the_first_node(expression: str, value: Any) -> None:
    assert first(expression, STORE) == (True, value)


@pytest.mark.parametrize(
    "expression",
    [
        "$.stores",
        "$.store.book[3]",
        "$.store.book[?@.price > 100]",
        "$.store.book[?match(@.title, 'S')]",
        "$.store.book[?match(@.price, '.*')]",
        "$.store.book[0].title[0]",
        # A text has no children, so it cannot be sliced.
        "$.store.book[0].title[0:1]",
        "$.store.book[?@.price == '8.95']",
        "$.store.book[?@.price == true]",
        "$.store.book[?@.price < true]",
    ],
)
def test_nothing_there(expression: str) -> None:
    assert first(expression, STORE) == (False, None)


def test_a_document_that_is_only_a_text() -> None:
    assert first("$", '{"a": 1}') == (True, '{"a": 1}')
    assert first("$.a", '{"a": 1}') == (False, None)
    assert first("$[0]", "up") == (False, None)
    assert first("$[*]", "up") == (False, None)
    assert first("$..a", "up") == (False, None)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("status", "a JSONPath starts with $, such as $.status"),
        ("", "a JSONPath starts with $, such as $.status"),
        ("@.a", "a JSONPath starts with $, such as $.status"),
        ("$.a.", None),
        ("$.a[", "unexpected end of query"),
        ("$.a[]", None),
        ("$.a ", "unexpected trailing whitespace (column 4)"),
        ("$[01]", None),
        ("$[9007199254740992]", "index out of range (column 3)"),
        ("$[?@.a == 1e999]", "it has a number that is out of range"),
        ("$[?@.a = 1]", None),
        ("$[?@.*  == 1]", None),
        ("$[?length(@.a)]", None),
        ("$.a | $.b", None),
        ("$.a & $.b", None),
        ("$[?@.a =~ /x/]", None),
        ("$[?isinstance(@.a, 'x')]", "function 'isinstance' is not defined (column 4)"),
        ("$[?nosuch(@.a)]", "function 'nosuch' is not defined (column 4)"),
        ("$.~", None),
        ("$[?match(@.a, @.b)]", "the pattern of match() must be written out as a string (column 4)"),
        ("$[?search(@.a, $.b)]", "the pattern of search() must be written out as a string (column 4)"),
        ("$[?match(@.a, '(?=x)')]", "the pattern of match(): invalid perl operator: (?= (column 4)"),
        ("$[?match(@.a, '(a')]", "the pattern of match(): missing ): (a (column 4)"),
        ("$" + "[?@" * 900, "it is nested too deeply"),
        ("$[?" + "(" * 900 + "@.a" + ")" * 900 + "]", "it is nested too deeply"),
    ],
)  # fmt: skip
def test_an_expression_that_is_refused(expression: str, message: str | None) -> None:
    with pytest.raises(PathError) as caught:
        path(expression)

    assert message is None or str(caught.value) == message
    assert "TOKEN" not in str(caught.value)


def big(count: int) -> Any:
    return [{"a": number, "b": {"c": [number]}} for number in range(count)]


WIDE = {"k" * 300_000: {"a": [0] * 100_000}}


@pytest.mark.parametrize(
    ("expression", "document"),
    [
        ("$..[?@..[?@..[?@.x]]]", big(3_000)),
        ("$..*..*..*.x", big(3_000)),
        ("$[?$[?$[?@.x == $[0]]]]", big(3_000)),
        ("$..[?" + "||".join(f"$.b == {n}" for n in range(300)) + "]", big(20_000)),
        ("$[?@.a < @.b]", [{"a": "x" * 300_000 + "b", "b": "x" * 300_000 + "a"}] * 100_000),
        ("$[?@ == $[-1]]", [[0] * 50_000 + [1]] * 5_000 + [[0] * 50_000 + [2]]),
        ("$[?match(@, '(a|b)*a[ab]{300}c')]", ["ab" * 50_000] * 20),
        ("$..nothing[0:1]", WIDE),
        ("$[*][*][*].x", [[[0] * 100] * 100] * 100),
        ("$[?count(@..*) == 3_000]".replace("_", ""), big(3_000) * 3),
    ],
)
def test_a_hostile_evaluation_ends_soon(expression: str, document: Any) -> None:
    path(expression)
    begun = time.perf_counter()
    with contextlib.suppress(DocumentError):
        assert first(expression, document) == (False, None)

    # Half a second where nothing else runs; the machine may be busy.
    assert time.perf_counter() - begun < 10


def test_the_words_for_a_spent_budget() -> None:
    with pytest.raises(DocumentError) as caught:
        first("$..[?@..x]", big(30_000) * 3)

    assert str(caught.value) == "the document is too large for it (300,000 steps)"


def test_the_budget_is_of_one_evaluation() -> None:
    document = big(20_000)

    for _ in range(5):
        assert first("$[?@.a == 19999].a", document) == (True, 19_999)


def test_a_document_that_is_too_deep() -> None:
    deep: Any = []
    for _ in range(200):
        deep = [deep]

    with pytest.raises(DocumentError, match="nested deeper than 100 levels"):
        first("$..x", deep)
    assert first("$[0][0]", deep)[0]


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        (None, None, True),
        (None, False, False),
        (None, 0, False),
        ("1", 1, False),
        ("", None, False),
        ([], {}, False),
        ([1, [2]], [1.0, [2.0]], True),
        ([1], [1, 1], False),
        ([True], [1], False),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": None}, {}, False),
        (2**53 + 1, float(2**53), False),
        ((1, 2), [1, 2], True),
    ],
)
def test_equality_by_json_type(left: Any, right: Any, same: bool) -> None:
    assert equal(left, right) is same
    assert equal(right, left) is same


def test_reading_a_document() -> None:
    assert decoded(b'\xef\xbb\xbf{"a": [1, null]}') == {"a": [1, None]}
    with pytest.raises(DocumentError, match="truncated"):
        decoded(b"[1")
    with pytest.raises(DocumentError, match="not UTF-8"):
        decoded(b'"\xff"')
    with pytest.raises(DocumentError, match="nested too deeply"):
        decoded(b"[" * 100_000)
    with pytest.raises(DocumentError):
        decoded(b"1" * 10_000)


# ------------------------------------------------------------------ patterns


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a", "missing ): (a"),
        ("a{2000}", "invalid repetition size: {2000}"),
        (r"(a)\1", r"invalid escape sequence: \1"),
        ("(?<=a)b", "invalid perl operator: (?<="),
        ("((((a{1,10}){1,10}){1,10}){1,10})", None),
        ("[a", "missing ]: [a"),
        (r"\pL{300}", None),
    ],
)
def test_a_pattern_that_re2_does_not_take(pattern: str, message: str | None) -> None:
    with pytest.raises(patterns.PatternError) as caught:
        patterns.compiled(pattern)

    assert message is None or str(caught.value) == message


def test_a_dot_of_an_iregexp_is_any_character_but_a_line_break() -> None:
    pattern = patterns.compiled_iregexp(r"a.b[.]c\.")

    assert pattern.covers(b"axb.c.")
    assert not pattern.covers(b"a\rb.c.")
    assert not pattern.covers(b"axbxc.")
    assert not pattern.covers(b"axb.cx")


def test_a_catastrophic_pattern_costs_little() -> None:
    pattern = patterns.compiled("(a+)+$")
    begun = time.perf_counter()

    assert not pattern.finds(b"a" * 100_000 + b"!")
    assert time.perf_counter() - begun < 5
