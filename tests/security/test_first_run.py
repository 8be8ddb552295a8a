"""Fifty people set up the same new NetPulse at the same moment: one of them owns it."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

from tests.instance import PASSWORD, Instance

AT_ONCE = 50


def test_one_owner(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "data")
    # How many one address may ask for is not the question here.
    instance.start(environ={"NETPULSE_LIMITS_ANONYMOUS_PER_MINUTE": "0"})
    try:
        token = instance.setup_token()
        ready = threading.Barrier(AT_ONCE)
        answers: list[tuple[int, Any]] = [(0, None)] * AT_ONCE

        def register(number: int) -> None:
            body = {
                "email": f"owner{number}@example.com",
                "password": PASSWORD,
                "org_name": f"Org {number}",
                "setup_token": token,
            }
            ready.wait()
            status, _, answer = instance.call("POST", "/v1/auth/register", body)
            answers[number] = status, answer

        threads = [threading.Thread(target=register, args=(n,)) for n in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert Counter(status for status, _ in answers) == {201: 1, 403: AT_ONCE - 1}
        codes = {answer["error"]["code"] for status, answer in answers if status == 403}
        # Whoever came after the token was spent is told so, or that it is the wrong one.
        assert codes <= {"REGISTRATION_CLOSED", "FORBIDDEN"}
        owner = next(answer["data"] for status, answer in answers if status == 201)
        assert owner["user"]["role"] == "super_admin"
        for number in range(AT_ONCE):
            body = {"email": f"owner{number}@example.com", "password": PASSWORD}
            if body["email"] == owner["user"]["email"]:
                assert instance.call("POST", "/v1/auth/login", body)[0] == 200
        assert not (tmp_path / "data" / "setup-token").exists()
        listed = instance.call("GET", "/setup")
        assert (listed[0], listed[1]["location"]) == (303, "/login")
    finally:
        instance.close()
