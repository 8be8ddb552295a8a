"""A connection that keeps the plan of everything that is read through it."""

from __future__ import annotations

from netpulse.storage.conn import Conn, Params, Row


class Planned(Conn):
    """What SQLite would do for each statement, beside what it says (`plans`)."""

    def __init__(self, conn: Conn) -> None:
        super().__init__(conn._raw, conn.vault)
        self.plans: list[str] = []

    def all(self, sql: str, params: Params = ()) -> list[Row]:
        self.plans += [row[3] for row in super().all(f"EXPLAIN QUERY PLAN {sql}", params)]
        return super().all(sql, params)
