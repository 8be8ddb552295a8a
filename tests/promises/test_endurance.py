"""What docs/endurance.md says is shown by a test is shown by a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    line
    for line in (ROOT / "docs" / "endurance.md").read_text().splitlines()
    if re.search(r"`[a-z]+/test_\w+\.py", line)
]


def test_the_table_is_there() -> None:
    assert len(ROWS) > 40


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row).split("|")[1].strip()[:60])
def test_a_fault_has_its_test(row: str) -> None:
    named = re.findall(r"`([a-z]+/test_\w+\.py)(?:::(\w+))?`", row)
    assert named, row
    for file, test in named:
        source = (ROOT / "tests" / file).read_text()
        assert re.search(rf"^(async )?def {test or 'test_'}", source, re.MULTILINE), (file, test)
