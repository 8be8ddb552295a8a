"""Any text is a condition, or is refused with a column that is in it; and what is made of one that is
understood is true exactly when the text is.
"""

from __future__ import annotations

import operator
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from netpulse.rules.condition import (
    AVAILABLE,
    STATES,
    WORDS,
    Condition,
    ConditionError,
    ConditionUnavailable,
    parse,
)
from netpulse.rules.terms import FED, MOST_ALTERNATIVES, Term

pieces = st.sampled_from(
    [*sorted(WORDS), "and", "or", "for", "in", "(", ")", ">", "<=", "5", "5m", "90%", "log.x", "①"]
)


@given(st.one_of(st.text(max_size=60), st.lists(pieces, max_size=12).map(" ".join)))
def test_any_text_is_understood_or_refused(text: str) -> None:
    trouble: ConditionError | ConditionUnavailable
    try:
        condition = parse(text)
    except (ConditionError, ConditionUnavailable) as refused:
        trouble = refused
    else:
        assert isinstance(condition, Condition)
        assert condition.words or condition.terms
        assert condition.words <= AVAILABLE
        assert bool(condition.words) == bool(condition.events)
        for term in condition.terms:
            assert term.comparisons
            assert term.measures <= FED
            assert parse(term.text).terms == (term,)
        return
    if isinstance(trouble, ConditionError):
        assert 1 <= trouble.column <= len(text) + 1
        assert trouble.message
    else:
        assert trouble.word in text


_SIGNS = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}
Tree = tuple[Any, ...]

words = st.sampled_from(sorted(STATES)).map(lambda word: ("word", word))
comparisons = st.tuples(
    st.just("compared"),
    st.sampled_from(sorted(FED)),
    st.sampled_from(sorted(_SIGNS)),
    st.sampled_from([-1, 0, 1, 2, 2.5, 3, 4]),
)
trees: st.SearchStrategy[Tree] = st.recursive(
    st.one_of(words, comparisons),
    lambda inner: st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    max_leaves=10,
)


def written(tree: Tree, inside: str = "or") -> str:
    """Return a tree as text, with the parentheses that it needs."""
    if tree[0] == "word":
        return str(tree[1])
    if tree[0] == "compared":
        return f"{tree[1]} {tree[2]} {tree[3]}"
    text = f"{written(tree[1], tree[0])} {tree[0]} {written(tree[2], tree[0])}"
    return f"({text})" if inside == "and" and tree[0] == "or" else text


def is_so(tree: Tree, state: str, values: dict[str, int]) -> bool:
    """Tell whether a tree is true, read as it is written."""
    if tree[0] == "word":
        return bool(tree[1] == state)
    if tree[0] == "compared":
        return bool(_SIGNS[tree[2]](values[tree[1]], tree[3]))
    left, right = is_so(tree[1], state, values), is_so(tree[2], state, values)
    return left and right if tree[0] == "and" else left or right


def term_is_so(term: Term, state: str, values: dict[str, int]) -> bool:
    """Tell whether an alternative is true."""
    if term.state not in {None, state}:
        return False
    return all(one.holds(values[one.measure]) for one in term.comparisons)


def understood(text: str) -> Condition | str:
    """Return the condition, or what is wrong with it."""
    try:
        return parse(text)
    except ConditionError as error:
        return error.message


@given(tree=trees, state=st.sampled_from(sorted(STATES)))
@example(
    tree=(
        "and",
        ("or", ("word", "up"), ("compared", "response_time_ms", ">", 2)),
        ("or", ("word", "down"), ("compared", "certificate_days", "<", 2.5)),
    ),
    state="up",
)
def test_the_alternatives_are_true_exactly_when_the_text_is(tree: Tree, state: str) -> None:
    text = written(tree)
    condition = understood(text)
    if isinstance(condition, str):
        # Nothing but this can be wrong with it; and if all of it is never true it is refused.
        assert "never true" in condition or str(MOST_ALTERNATIVES) in condition
        return
    assert len(condition.words) + len(condition.terms) <= MOST_ALTERNATIVES
    possible = False
    for response_time in range(6):
        for days in range(-3, 7):
            values = {"response_time_ms": response_time, "certificate_days": days}
            found = state in condition.words or any(
                term_is_so(term, state, values) for term in condition.terms
            )
            assert found == is_so(tree, state, values), (text, values)
            possible = possible or any(is_so(tree, one, values) for one in STATES)
    assert possible, "what is accepted can come true"
