"""Any text is a condition, or is refused with a column that is in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netpulse.rules.condition import (
    AVAILABLE,
    WORDS,
    Condition,
    ConditionError,
    ConditionUnavailable,
    parse,
)

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
        assert condition.words
        assert condition.words <= AVAILABLE
        assert condition.events
        return
    if isinstance(trouble, ConditionError):
        assert 1 <= trouble.column <= len(text) + 1
        assert trouble.message
    else:
        assert trouble.word in text
