"""docs/verdicts.md keeps up with the code."""

from __future__ import annotations

from pathlib import Path

from netpulse.model.check import Failure, Result
from netpulse.model.monitor import TYPES
from netpulse.probes import PROBES

VERDICTS = Path(__file__).parents[2] / "docs" / "verdicts.md"


def test_every_failure_word_is_explained() -> None:
    text = VERDICTS.read_text()
    assert [word.value for word in Failure if f"`{word.value}`" not in text] == []
    assert [word.value for word in Result if f"| {word.value} |" not in text] == []


def test_every_type_has_its_probe() -> None:
    # Nobody asks a push monitor's target: it speaks for itself.
    assert set(PROBES) == set(TYPES) - {"push"}
