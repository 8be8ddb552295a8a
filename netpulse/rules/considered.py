"""Why somebody was told, or was not: what every rule made of a flip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netpulse.model.alert import Considered, NoticeStatus, Rule
from netpulse.model.ids import Id
from netpulse.model.time import MINUTE
from netpulse.model.watch import Flip
from netpulse.rules.alerting import NoticeDraft, age, speaks_later


def of_flip(
    flip: Flip, rules: Sequence[Rule], drafts: Iterable[NoticeDraft]
) -> tuple[Considered, ...]:
    """Return what each rule that covers the monitor made of a flip, inactive ones too.

    `drafts` are what `due` returned for the active ones. A rule has a line for each channel that
    it has something to say to: its fallback may have been told of the problem.
    """
    best: dict[tuple[Id, Id], NoticeDraft] = {}
    for draft in drafts:
        key = draft.rule_id, draft.channel_id
        # What says that it flaps comes first, and is what was told.
        if key not in best or _weight(draft) < _weight(best[key]):
            best[key] = draft
    found: list[Considered] = []
    for rule in sorted(rules, key=age):
        mine = [draft for (rule_id, _), draft in best.items() if rule_id == rule.id]
        found += [_considered(rule, draft) for draft in mine]
        if not mine:
            found.append(_silent(flip, rule))
    return tuple(found)


def _considered(rule: Rule, draft: NoticeDraft) -> Considered:
    verdict = "told"
    if draft.status is NoticeStatus.SUPPRESSED:
        verdict = "suppressed"
    elif draft.held_for is not None:
        verdict = "held"
    reason = draft.held_for or draft.reason
    return Considered(
        rule_id=rule.id,
        rule_name=rule.name,
        channel_id=draft.channel_id,
        verdict=verdict,
        reason=None if reason is None else reason.value,
        until=draft.next_attempt_at if draft.held_for is not None else None,
    )


def _silent(flip: Flip, rule: Rule) -> Considered:
    """Return why a rule has written nothing."""
    verdict, until = "not_asked", None
    if not rule.is_active:
        verdict = "inactive"
    elif flip.opens and rule.escalation_minutes is not None and speaks_later(rule):
        verdict, until = "later", flip.at + rule.escalation_minutes * MINUTE
    return Considered(
        rule_id=rule.id,
        rule_name=rule.name,
        channel_id=rule.channel_id,
        verdict=verdict,
        until=until,
    )


def _weight(draft: NoticeDraft) -> int:
    if draft.status is NoticeStatus.SUPPRESSED:
        return 2
    return 0 if draft.held_for is None else 1
