"""Where rows lie in a hot file, in two bytes each."""

from __future__ import annotations

from netpulse.storage.raw.hot import RowNumbers


def test_rows_are_found_again_however_far_apart() -> None:
    numbers = RowNumbers()
    # 5 comes at once, after the farthest step that fits, the first one that does not, and a far one.
    wanted: dict[int, list[int]] = {5: [1, 65_535, 131_070, 1_000_000], 6: [], 7: [70_000]}
    places = {number: key for key, found in wanted.items() for number in found}
    for number in range(1, 1_000_001):
        key = places.get(number, 9)
        numbers.add(iter((key,)), number)
        if key == 9:
            wanted.setdefault(9, []).append(number)
    for key, found in wanted.items():
        assert list(numbers.of(key)) == found
