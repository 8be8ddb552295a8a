"""Secrets go in, and do not come out: not into a log at debug level, not into an answer, a page, an
export, an audit row, a figure, a command's words or a file. Each deed of the drive is in the audit log,
once.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.security.drive import EMAIL, Drive, spellings


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_comes_out(tmp_path: Path, form: str) -> None:
    drive = Drive(tmp_path / "data", form)
    try:
        drive.go()
    finally:
        drive.close()
    assert len(drive.secrets) >= 60
    assert {"reset token", "totp secret", "recovery code 9", "slack hook"} <= drive.secrets.keys()
    assert len(drive.seen) >= 400
    assert drive.leaks() == []
    # Nor is anything done, or refused, that the audit log does not hold once.
    assert drive.unaudited() == []
    assert sum(bool(entries) for _, _, entries in drive.audited) >= 100
    # What is looked through does hold what was said.
    drive.secrets["an address"] = EMAIL
    places = {leak.removeprefix("an address in ") for leak in drive.leaks()}
    assert {"GET /v1/auth/me", "GET /settings/members", "netpulse user list"} <= places
    assert "the file netpulse.db" in places
    lines = drive.log()
    assert len(lines) >= 20, "a drive at debug level leaves something in the log"
    if form == "json":
        assert all(isinstance(json.loads(line), dict) for line in lines)


def test_a_secret_is_found_in_every_spelling() -> None:
    forms = list(spellings("s3cret/with=signs&more"))
    for text in (
        "s3cret/with=signs&more",
        "token=s3cret%2Fwith%3Dsigns%26more",
        "Basic czNjcmV0L3dpdGg9c2lnbnMmbW9yZQ==",
    ):
        assert any(form in text for form in forms), text
