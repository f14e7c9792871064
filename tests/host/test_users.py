"""Names and numbers of users, looked up now and then."""

from __future__ import annotations

import pwd
from types import SimpleNamespace

from etlmon.host.users import Users


def test_names_and_numbers() -> None:
    users = Users(lambda: 0.0)
    assert users.name(0) == pwd.getpwuid(0).pw_name
    assert users.uid(pwd.getpwuid(0).pw_name) == 0
    assert users.name(3_999_999_999) == "3999999999"
    assert users.uid("3999999999") == 3_999_999_999
    assert users.uid("no such user") is None
    assert users.uid("a\0b") is None
    assert users.uid("\u0663") is None


def test_they_are_remembered_for_a_while(monkeypatch) -> None:
    now = 0.0
    asked = []

    def getpwuid(uid: int) -> SimpleNamespace:
        asked.append(uid)
        return SimpleNamespace(pw_name=f"user{len(asked)}")

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    users = Users(lambda: now)
    assert [users.name(5), users.name(5)] == ["user1", "user1"]
    now = 299.0
    assert users.name(5) == "user1"
    now = 300.0
    assert users.name(5) == "user2"
    for uid in range(1000, 3000):
        users.name(uid)
    assert len(users._kept) <= 1000
