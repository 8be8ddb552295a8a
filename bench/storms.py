"""The chapter of docs/measured.md about alerts: many monitors that change at once."""

from __future__ import annotations

from bench.kept import Kept, Page, amount, several

MONITORS, OTHERS = 1_000, 10_000
"""What targets are for: a storm of fewer, or beside fewer, is not held against them."""
STORMS = (("down", 1), ("up", 1), ("down", 10), ("up", 10))
"""What changes, and how many receivers are told; of ten people are told as well."""
WIRE_MS = 1000
"""From the answer that confirms to the notice."""
API_MS, DASHBOARD_MS, LAG_MS = 50, 300, 50


def alerts(page: Page, found: Kept) -> None:
    """From the answer that changes things to the notice, and what the rest does meanwhile."""
    page.chapter(
        "Alerts",
        "All monitors of one target change at once, and all their receivers are told of each.",
        "Measured from the answer that confirms the change to the arrival of the whole notice at",
        f"its receiver. Beside them {amount(OTHERS)} others are checked every 10 s, and pages are",
        "read.",
        command="python bench/alerts.py",
    )
    storms = [(_name(*each), _kept(found, *each)) for each in STORMS]
    late = "confirming_answer_to_wire_ms"
    rows: list[tuple[str, ...]] = []
    for name, row in storms:
        slowest = row.target(f"{late}_max", WIRE_MS)
        rows.append(
            (
                name,
                amount(row.number("notices")),
                several("ms", row.number(f"{late}_median"), row.number(f"{late}_p99")),
                page.held(f"{name}, the last notice", row.number(f"{late}_max"), slowest, "ms"),
                page.held(f"{name}, told twice", row.number("repeated"), 0),
                page.held(f"{name}, not told", row.number("not_told"), 0),
            )
        )
    page.table(("", "notices", "median, p99", "the last", "told twice", "not told"), rows)
    page.text(f"The target of the last notice is {amount(WIRE_MS, 'ms')}.")
    others = [(name, *_meanwhile(page, name, row)) for name, row in storms]
    head = ("meanwhile", "API p99", "dashboard, slowest", "checks due", "missed", "lag p99", "most")
    page.table(head, others)
    people: list[tuple[str, ...]] = []
    for name, row in storms:
        told = row.at("people")
        if told:
            goal = told.target("first_message_ms")
            first = told.number("first_message_ms")
            people.append(
                (
                    name,
                    amount(told.number("messages")),
                    page.held(f"{name}, people, first", first, goal, "ms"),
                    amount(told.number("last_message_seconds"), "s"),
                    told.text("last_title"),
                )
            )
    if people:
        page.text(
            "People get digests in a storm: few messages, each of which says how many monitors it",
            "is about.",
        )
        titles = ("people, beside the webhooks", "messages", "the first", "the last", "its title")
        page.table(titles, people)


def _meanwhile(page: Page, name: str, row: Kept) -> tuple[str, ...]:
    """Return what pages and the other monitors' checks did during a storm."""
    reads, grid = row.at("meanwhile"), row.at("others")
    api, board, lag = "api_ms_p99", "dashboard_ms_max", "lag_ms_p99"
    answers = reads.number(api), reads.target(api, API_MS)
    slowest = reads.number(board), reads.target(board, DASHBOARD_MS)
    lags = grid.number(lag), grid.target(lag, LAG_MS)
    return (
        page.held(f"{name}, API p99 meanwhile", *answers, "ms"),
        page.held(f"{name}, dashboard meanwhile", *slowest, "ms"),
        amount(grid.number("checks_due")),
        page.held(f"{name}, checks of others missed", grid.number("checks_missed"), 0),
        page.held(f"{name}, lag p99 of others", *lags, "ms"),
        amount(grid.number("lag_ms_max"), "ms"),
    )


def _kept(found: Kept, change: str, receivers: int) -> Kept:
    """Return what was kept of a storm; nothing of one that was smaller."""
    row = found.row("rows", change=change, receivers=receivers)
    changed = (row.number("monitors") or 0) + (row.number("not_told") or 0)
    beside = row.number("others", "monitors") or 0
    return row if changed >= MONITORS and beside >= OTHERS else Kept()


def _name(change: str, receivers: int) -> str:
    more = "" if receivers == 1 else "s, and people"
    return f"{MONITORS:,} {change}, {receivers} receiver{more}"
