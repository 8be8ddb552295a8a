"""What somebody sent as a status page, read: all that can be judged without the database."""

from __future__ import annotations

import base64
import binascii
from typing import Literal

from msgspec import Struct

from netpulse.crypto import passwords
from netpulse.model.status_page import Colors, Figures, Group, Service, Theme
from netpulse.rules import colors, logos
from netpulse.rules import status_pages as rules
from netpulse.rules.logos import Picture, PictureRefused
from netpulse.web import reading
from netpulse.web.api.status_page_answers import ColorsSpec, GroupSpec, StatusPageSpec
from netpulse.web.errors import Problem
from netpulse.web.languages import LANGUAGES

PASSWORD_LENGTH = 4


class Draft(Struct, frozen=True, kw_only=True):
    """What somebody sent, read and ready to be stored."""

    slug: str
    title: str
    text: str
    language: str | None
    theme: Theme
    colors: Colors
    logo: str | None
    """The address of the one to keep; None: none, or `picture`."""
    picture: Picture | None
    domain: str | None
    password: str | None
    password_hash: str | None = None
    is_indexed: bool
    figures: Figures
    takes_subscribers: bool
    subscribers: Literal["keep", "remove"] | None
    groups: tuple[Group, ...]


def draft_of(spec: StatusPageSpec) -> Draft:
    """Return what was sent as a draft.

    Raises:
        ApiError: 400 with every problem that can be seen without the database.
    """
    problems: list[Problem] = []
    title = spec.title.strip()
    problems += reading.line_problems("$.title", title)
    slug = spec.slug.strip()
    wrong = rules.slug_problem(slug)
    if wrong is not None:
        problems.append(Problem("$.slug", wrong))
    picture, kept = _logo(spec.branding.logo, problems)
    domain = None
    if spec.custom_domain is not None and spec.custom_domain.strip():
        try:
            domain = rules.domain(spec.custom_domain)
        except ValueError as error:
            problems.append(Problem("$.custom_domain", str(error)))
    _check_password(spec.password, problems)
    language = (spec.language or "").strip().lower() or None
    if language is not None and language not in LANGUAGES:
        problems.append(Problem("$.language", f"is none of {', '.join(LANGUAGES)}, or null"))
    draft = Draft(
        slug=slug,
        title=title,
        text=spec.text.strip(),
        language=language,
        theme=spec.branding.theme,
        colors=_colors(spec.branding.colors, problems),
        logo=kept,
        picture=picture,
        domain=domain,
        password=spec.password,
        is_indexed=spec.is_indexed,
        figures=Figures(uptime=spec.figures.uptime, response_times=spec.figures.response_times),
        takes_subscribers=spec.takes_subscribers,
        subscribers=spec.subscribers,
        groups=_groups(spec.groups, problems),
    )
    reading.at_least_one(problems)
    return draft


def _logo(text: str | None, problems: list[Problem]) -> tuple[Picture | None, str | None]:
    """Return the picture that was sent, or the address of the one to keep."""
    text = (text or "").strip()
    if not text.startswith("data:"):
        return None, text or None
    where = "$.branding.logo"
    _, comma, data = text.partition(",")
    if not comma or not text.partition(",")[0].endswith(";base64"):
        problems.append(Problem(where, "is no data: URL in base64"))
        return None, None
    try:
        return logos.picture(base64.b64decode(data, validate=True)), None
    except binascii.Error:
        problems.append(Problem(where, "is no data: URL in base64"))
    except PictureRefused as refused:
        problems.append(Problem(where, str(refused)))
    return None, None


def _colors(spec: ColorsSpec, problems: list[Problem]) -> Colors:
    found: dict[str, str | None] = {}
    for name in ("accent", "header"):
        text = (getattr(spec, name) or "").strip()
        try:
            found[name] = colors.shown(colors.read(text)) if text else None
        except ValueError as error:
            problems.append(Problem(f"$.branding.colors.{name}", str(error)))
    return Colors(**found)


def _check_password(password: str | None, problems: list[Problem]) -> None:
    if not password:
        return
    where = "$.password"
    if len(password) < PASSWORD_LENGTH:
        problems.append(Problem(where, f"must have at least {PASSWORD_LENGTH} characters"))
    elif len(password.encode("utf-8", "surrogatepass")) > passwords.MAX_BYTES:
        problems.append(Problem(where, f"is longer than {passwords.MAX_BYTES} bytes"))


def _groups(specs: list[GroupSpec], problems: list[Problem]) -> tuple[Group, ...]:
    groups = []
    listed = [one.monitor_id for group in specs for one in group.monitors]
    if len(listed) > rules.MOST_SERVICES:
        most = rules.MOST_SERVICES
        problems.append(Problem("$.groups", f"a page shows at most {most} monitors"))
    doubled = rules.twice(listed)
    for number, spec in enumerate(specs):
        where = f"$.groups[{number}]"
        name = spec.name.strip()
        if name:
            problems += [
                Problem(f"{where}.name", problem.message)
                for problem in reading.line_problems("$.name", name)
            ]
        services = []
        for place, one in enumerate(spec.monitors):
            if one.monitor_id in doubled:
                why = "this monitor is on the page twice"
                problems.append(Problem(f"{where}.monitors[{place}].monitor_id", why))
            public_name = one.public_name.strip()
            if public_name:
                problems += [
                    Problem(f"{where}.monitors[{place}].public_name", problem.message)
                    for problem in reading.line_problems("$.public_name", public_name)
                ]
            services.append(Service(monitor_id=one.monitor_id, public_name=public_name))
        groups.append(Group(name=name, monitors=tuple(services)))
    return tuple(groups)
