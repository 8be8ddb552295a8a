"""An hour's file: each monitor's rows are found from its newest one back, whatever befell it."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from pathlib import Path

import apsw
import pytest

from netpulse.storage.raw import hot
from netpulse.storage.raw.files import SIDES, beside, create, open_file
from netpulse.storage.raw.heads import Heads
from netpulse.storage.raw.hot_files import HotFiles, OpenHot
from netpulse.storage.raw.names import Places
from netpulse.storage.raw.row import Row

HOUR = 1_795_464_000_000


def row(number: int) -> Row:
    return (HOUR + number, "local", 1, 3, 0, 200, None, None, f"n{number % 7}", 1, 2, None, 3, 4, 5)


def heads() -> Heads:
    return Heads(threading.Event())


def found(path: Path, file: OpenHot, key: int) -> list[Row]:
    """Return a monitor's rows as they are found from its newest one; never by reading through."""
    assert file.newest is not None
    connection = open_file(path, hot.VERSION)
    try:
        newest = file.newest.get(key, 0)
        by_chain = hot.rows_of(connection, path, HOUR, key, newest)
        assert by_chain == hot.rows_of(connection, path, HOUR, key, None)
        if newest:
            assert connection.execute(hot._CHAIN, (HOUR, key, newest)).fetchall()
    finally:
        connection.close()
    return by_chain


def test_rows_are_found_from_the_newest_back(tmp_path: Path) -> None:
    path = tmp_path / "hour.db"
    chance = random.Random(1)
    wanted: dict[int, list[Row]] = defaultdict(list)
    file = OpenHot(path, HOUR, heads())
    for number in range(60):
        # Some come twice in one writing, some once in all, one never.
        keys = [chance.choice((1, 1, 2, 3, 900 + number)) for _ in range(chance.randrange(1, 40))]
        rows = [(key, row(number * 100 + place)) for place, key in enumerate(keys)]
        file.append(rows)
        for key, one in rows:
            wanted[key].append(one)
        if number % 20 == 7:
            file.close()
            file = OpenHot(path, HOUR, heads())
    assert len(wanted) > 50
    for key, rows_of in wanted.items():
        assert found(path, file, key) == rows_of
    assert found(path, file, 4) == []
    file.close()


def test_rows_that_were_not_written_are_not_gone_back_to(tmp_path: Path) -> None:
    path = tmp_path / "hour.db"
    file = OpenHot(path, HOUR, heads())
    file.append([(1, row(1)), (2, row(2))])
    connection = file._connection
    connection.pragma("max_page_count", connection.pragma("page_count"))
    far = (*row(3)[:8], "x" * 20000, *row(3)[9:])
    with pytest.raises(apsw.FullError):
        file.append([(1, row(3)), (1, far)])
    connection.pragma("max_page_count", 1_000_000)
    file.append([(2, row(4)), (1, row(5)), (1, row(6))])
    assert found(path, file, 1) == [row(1), row(5), row(6)]
    assert found(path, file, 2) == [row(2), row(4)]
    file.close()


def test_another_file_in_its_place_is_read_through(tmp_path: Path) -> None:
    path, other = tmp_path / "hour.db", tmp_path / "other.db"
    file, there = OpenHot(path, HOUR, heads()), OpenHot(other, HOUR, heads())
    file.append([(key, row(key)) for key in range(1, 9)])
    there.append([(9, row(1)), (5, row(2)), (9, row(3))])
    assert file.newest is not None
    connection = open_file(other, hot.VERSION)
    for number in (file.newest[5], file.newest[2]):  # not there, and there of another monitor
        assert hot.rows_of(connection, other, HOUR, 5, number) == [row(2)]
    connection.close()
    file.close()
    there.close()


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_put_in_the_place_of_an_open_one_is_read_whole(tmp_path: Path, version: int) -> None:
    places = Places(tmp_path)
    places.hot.mkdir()
    files = HotFiles(places, threading.Event())
    files.append(HOUR, [(7, row(1)), (5, row(2))])
    other, path = tmp_path / "other.db", places.hot_path(HOUR)
    schema = hot.SCHEMA if version == 2 else _without_back(hot.SCHEMA)
    create(other, schema, version, page_bytes=hot.PAGE_BYTES)
    wanted = [row(2), row(3)] if version == 2 else []
    if wanted:
        there = OpenHot(other, HOUR, heads())
        there.append([(7, row(1)), *((5, one) for one in wanted)])
        there.empty_log()
        there.close()
    for side in SIDES:
        beside(path, side).unlink(missing_ok=True)
    other.rename(path)
    connection = open_file(path, hot.VERSION)
    assert hot.rows_of(connection, path, HOUR, 5, files.newest(connection, HOUR, 5)) == wanted
    connection.close()
    files.close()


def test_an_hour_that_an_earlier_version_began_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "hour.db"
    create(path, _without_back(hot.SCHEMA), 1, page_bytes=hot.PAGE_BYTES)
    connection = open_file(path, 1)
    connection.execute("INSERT INTO texts VALUES(1, 'local'), (2, 'n1')")
    values = "(1, 1, 1, 1, 3, 0, 200, NULL, NULL, 2, 1, 2, NULL, 3, 4, 5)"
    connection.execute(f"INSERT INTO checks VALUES{values}")
    connection.close()
    # Read before anything is written to it: it has no way back, and nobody looks for one.
    connection = open_file(path, hot.VERSION, query_only=True)
    assert heads().of(connection, path) is None
    assert hot.rows_of(connection, path, HOUR, 1, None) == [row(1)]
    connection.close()
    for number in (8, 15):
        file = OpenHot(path, HOUR, heads())
        assert file.newest is None
        file.append([(1, row(number))])
        file.close()
    connection = open_file(path, hot.VERSION)
    assert hot.rows_of(connection, path, HOUR, 1, None) == [row(1), row(8), row(15)]
    connection.close()


def test_the_newest_of_each_are_found_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot, "LOOKED_THROUGH", 20)
    monkeypatch.setattr(hot, "_SORTED", 7)
    path, chance = tmp_path / "hour.db", random.Random(2)
    file, kept = OpenHot(path, HOUR, heads()), heads()
    reading = open_file(path, hot.VERSION, query_only=True)
    assert kept.of(reading, path) == {}
    seen: set[int] = set()
    for number in range(1, 61):
        # Each round has monitors of its own; some rounds are longer than a look back, some shorter.
        keys = [chance.choice((1, 2, 1000 * number)) for _ in range(chance.randrange(1, 12))]
        file.append([(key, row(number)) for key in keys])
        seen.update(keys)
        if number % 3 == 0:
            reading.execute("BEGIN")
            assert kept.of(reading, path) == file.newest
            assert heads().of(reading, path) == file.newest
            reading.execute("COMMIT")
    assert len(seen) > 30
    file.close()
    # Another file of that name, with more rows, and with fewer.
    for size in (600, 3):
        other = tmp_path / f"{size}.db"
        there = OpenHot(other, HOUR, heads())
        there.append([(5, row(place)) for place in range(size)])
        there.close()
        with_other = open_file(other, hot.VERSION, query_only=True)
        assert kept.of(with_other, path) == {5: size}
        with_other.close()
    reading.close()


def test_who_begins_to_write_goes_on_where_the_readers_are(tmp_path: Path) -> None:
    """Rows are led back to those another process wrote, though both were looked for at once."""
    places = Places(tmp_path)
    places.hot.mkdir()
    path = places.hot_path(HOUR)
    before = OpenHot(path, HOUR, heads())
    before.append([(number % 50, row(number)) for number in range(5_000)])
    before.close()
    files = HotFiles(places, threading.Event())
    wrong: list[str] = []
    told = [100]
    done = threading.Event()

    def read() -> None:
        connection = open_file(path, hot.VERSION, query_only=True)
        while not wrong:
            last, at_least = done.is_set(), told[0]
            connection.execute("BEGIN")
            rows = hot.rows_of(connection, path, HOUR, 7, files.newest(connection, HOUR, 7))
            connection.execute("COMMIT")
            if len(rows) < at_least or len(set(rows)) < len(rows) or rows != sorted(rows):
                wrong.append(f"{len(rows)} of {at_least}")
            if last:
                break
        connection.close()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(100):
        files.append(HOUR, [(7, row(10_000 + number)), (60 + number, row(10_000 + number))])
        told[0] += 1
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    file = files.opened(HOUR)
    assert len(found(path, file, 7)) == 200
    assert len(found(path, file, 8)) == 100
    files.close()


def _without_back(schema: str) -> str:
    """Return what made the files of version 1."""
    lines = [line for line in schema.splitlines() if not line.strip().startswith("back ")]
    assert len(lines) == len(schema.splitlines()) - 1
    return "\n".join(lines).replace("INTEGER,          -- response", "INTEGER  -- response")
