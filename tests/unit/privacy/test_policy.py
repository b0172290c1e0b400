"""What is personal and who may see it is what the file says; a file that is none shows nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from forensics.errors import UsageError
from forensics.privacy.policy import policy
from forensics.records.looker import Looker

TEXT = """
personal = ["subject.id", "features.income", "triage:features.*", "consumer"]

[roles.oncall]
users = ["anna", "both"]
unmask = ["features.*"]

[roles.compliance]
users = ["bo", "both"]
unmask = ["*"]

[roles.triage]
users = ["cleo"]
unmask = ["triage:features.diagnosis"]
"""


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    (tmp_path / "privacy.toml").write_text(TEXT, encoding="utf-8")
    return tmp_path


def test_without_a_file_nothing_is_personal(tmp_path: Path) -> None:
    assert policy(tmp_path).is_open
    assert not policy(tmp_path).is_personal("credit_line", "subject.id")


@pytest.mark.parametrize(
    ("point", "path", "personal"),
    [
        ("credit_line", "subject.id", True),
        ("credit_line", "subject.purpose", False),
        ("credit_line", "subject", False),
        ("credit_line", "features.income", True),
        ("credit_line", "features.incomes", False),
        ("credit_line", "features.age", False),
        ("triage", "features.age", True),
        ("triage", "features.a.b", True),
        ("credit_line", "consumer.action", True),
        ("credit_line", "outcome", False),
    ],
)
def test_a_path_is_personal_where_it_or_what_it_lies_in_is_named(
    lake: Path, point: str, path: str, personal: bool
) -> None:
    assert policy(lake).is_personal(point, path) == personal


@pytest.mark.parametrize(
    ("actor", "role", "path", "may"),
    [
        ("anna", None, "features.income", True),
        ("anna", None, "subject.id", False),
        ("bo", None, "subject.id", True),
        ("both", None, "subject.id", False),
        ("both", "compliance", "subject.id", True),
        ("anna", "compliance", "subject.id", False),
        ("anna", "compliance", "features.income", False),
        ("nobody", None, "features.income", False),
        ("nobody", "oncall", "features.income", False),
        ("nobody", None, "features.age", True),
        ("cleo", None, "features.income", False),
    ],
)
def test_a_role_sees_what_the_file_says_and_only_its_users_have_it(
    lake: Path, actor: str, role: str | None, path: str, may: bool
) -> None:
    assert policy(lake).may_see(Looker(actor, role=role), "credit_line", path) == may


def test_a_role_may_be_for_one_decision_point(lake: Path) -> None:
    cleo = Looker("cleo")
    assert policy(lake).may_see(cleo, "triage", "features.diagnosis")
    assert not policy(lake).may_see(cleo, "triage", "features.age")


def test_a_newer_file_counts_at_once(lake: Path) -> None:
    assert policy(lake).is_personal("p", "subject.id")
    (lake / "privacy.toml").write_text("personal = []\n", encoding="utf-8")
    assert not policy(lake).is_personal("p", "subject.id")


@pytest.mark.parametrize(
    "text",
    [
        "personal = 3",
        "personal = [3]",
        "personal = ['']",
        "personel = ['subject.id']",
        "personal = [",
        "personal = ['outcome']",
        "personal = ['credit_line:model.name']",
        "personal = ['*']",
        "personal = ['subject']",
        "personal = ['subject.*']",
        "personal = ['Features.income']",
        "personal = ['steps.outputs.who']",
        "personal = ['my_own.email']",
        "personal = ['consumer.recieved']",
        "[roles.x]\nuser = ['anna']",
        "[roles]\nx = 3",
    ],
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "privacy.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="no privacy policy"):
        policy(tmp_path)
