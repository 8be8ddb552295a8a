"""The chapter of docs/measured.md about alerts: many monitors that change at once."""

from __future__ import annotations

from bench.kept import NOT_MEASURED, Kept, Page, amount, several

WIRE_MS = 1000
"""From the answer that confirms to the notice."""
API_MS = 50


def alerts(page: Page, found: Kept) -> None:
    """From the answer that changes things to the notice, and what the rest does meanwhile."""
    beside = [row for row in found.all("rows") if row.at("others")] or [Kept()]
    others = beside[0].number("others", "monitors")
    page.chapter(
        "Alerts",
        "All monitors of one target change at once, and all their receivers are told of each.",
        "Measured from the answer that confirms the change to the arrival of the whole notice at",
        "its receiver.",
        *(
            (f"Beside them {amount(others)} others are checked every 10 s, and pages are read.",)
            if others
            else ()
        ),
        command="python bench/alerts.py",
    )
    late = "confirming_answer_to_wire_ms"
    rows = []
    for row in found.all("rows"):
        name = _storm(row)
        slowest = row.target(f"{late}_max", WIRE_MS)
        usual = several("ms", row.number(f"{late}_median"), row.number(f"{late}_p99"))
        rows.append(
            (
                name,
                amount(row.number("notices")),
                usual,
                page.held(f"{name}, the last notice", row.number(f"{late}_max"), slowest, "ms"),
                page.held(f"{name}, told twice", row.number("repeated"), 0),
                page.held(f"{name}, not told", row.number("not_told"), row.target("not_told")),
            )
        )
    head = ("", "notices", "median, p99", "the last", "told twice", "not told")
    if not rows:
        last = page.held("the last notice", None, WIRE_MS, "ms")
        rows = [(NOT_MEASURED, "", "", last, "", "")]
    page.table(head, rows)
    page.text(f"The target of the last notice is {amount(WIRE_MS, 'ms')}.")
    rows = []
    for row in found.all("rows"):
        reads, grid, name = row.at("meanwhile"), row.at("others"), _storm(row)
        api, board, lag = "api_ms_p99", "dashboard_ms_max", "lag_ms_p99"
        if reads or grid:
            rows.append(
                (
                    _storm(row),
                    page.held(
                        f"{name}, API p99 meanwhile", reads.number(api), reads.target(api), "ms"
                    ),
                    page.held(
                        f"{name}, dashboard meanwhile",
                        reads.number(board),
                        reads.target(board),
                        "ms",
                    ),
                    amount(grid.number("checks_due")),
                    page.held(f"{name}, checks of others missed", grid.number("checks_missed"), 0),
                    page.held(
                        f"{name}, lag p99 of others", grid.number(lag), grid.target(lag), "ms"
                    ),
                    amount(grid.number("lag_ms_max"), "ms"),
                )
            )
    head = ("meanwhile", "API p99", "dashboard, slowest", "checks due", "missed", "lag p99", "most")
    if not rows:
        for what, goal, unit in (("API p99", API_MS, "ms"), ("checks of others missed", 0, "")):
            page.held(f"beside 10,000 others, {what}", None, goal, unit)
        rows = [(NOT_MEASURED, "", "", "", "", "", "")]
    page.table(head, rows)
    rows = []
    for row in found.all("rows"):
        told, name = row.at("people"), f"{_storm(row)}, people"
        if told:
            goal = told.target("first_message_ms")
            rows.append(
                (
                    _storm(row),
                    amount(told.number("messages")),
                    page.held(f"{name}, first", told.number("first_message_ms"), goal, "ms"),
                    amount(told.number("last_message_seconds"), "s"),
                    told.text("last_title"),
                )
            )
    if rows:
        page.text(
            "People get digests in a storm: few messages, each of which says how many monitors it",
            "is about.",
        )
        head = ("people, beside the webhooks", "messages", "the first", "the last", "its title")
        page.table(head, rows)


def _storm(row: Kept) -> str:
    change, receivers = row.text("change") or "down", amount(row.number("receivers"))
    more = ("" if receivers == "1" else "s") + (", and people" if row.at("people") else "")
    return f"{amount(row.number('monitors'))} {change}, {receivers} receiver{more}"
