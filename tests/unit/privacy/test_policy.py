"""What is personal and who may see it is what the file says; a file that is none shows nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from forensics.errors import UsageError
from forensics.privacy.policy import Policy, Role, policy
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
        "personal = ['override']",
        "personal = ['override.final_outcome']",
        "personal = ['outcome.arrived_at']",
        "personal = ['change.detail.who']",
        "[roles.x]\nuser = ['anna']",
        "[roles]\nx = 3",
    ],
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "privacy.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="no privacy policy"):
        policy(tmp_path)


BESIDE = """
personal = ["subject.id", "my_own", "override.reason", "triage:change.*"]

[roles.oncall]
users = ["anna"]
unmask = ["change.reason"]

[roles.mender]
users = ["bo"]
unmask = ["quarantine", "my_own"]
"""


@pytest.mark.parametrize(
    ("kind", "point", "path", "personal"),
    [
        ("override", "credit_line", "reason", True),
        ("override", "", "reason", True),
        ("override", "credit_line", "actor", False),
        ("override", "credit_line", "decision_id", False),
        ("override", "credit_line", "subject.id", True),
        ("override", "credit_line", "my_own", True),
        ("outcome", "credit_line", "label", False),
        ("change", "triage", "detail", True),
        ("change", "", "detail", True),
        ("change", "credit_line", "detail", False),
        ("change", "triage", "component", False),
        ("decision", "credit_line", "override.reason", True),
    ],
)
def test_records_beside_decisions_have_personal_fields_of_their_own(
    tmp_path: Path, kind: str, point: str, path: str, personal: bool
) -> None:
    (tmp_path / "privacy.toml").write_text(BESIDE, encoding="utf-8")
    assert policy(tmp_path).is_personal_in(kind, point, path) == personal


def test_a_policy_concerns_the_kinds_and_points_that_its_paths_name(tmp_path: Path) -> None:
    (tmp_path / "privacy.toml").write_text(BESIDE, encoding="utf-8")
    said = policy(tmp_path)
    assert said.concerns("decision", "credit_line")
    assert said.concerns("override")
    assert not said.concerns("outcome")
    assert said.concerns("change", "triage")
    assert not said.concerns("change", "credit_line")
    (tmp_path / "privacy.toml").write_text("personal = ['change.reason']\n", encoding="utf-8")
    assert not policy(tmp_path).concerns("decision", "credit_line")


def test_roles_hold_for_records_beside_decisions_and_for_the_quarantine(tmp_path: Path) -> None:
    (tmp_path / "privacy.toml").write_text(BESIDE, encoding="utf-8")
    said, anna, bo = policy(tmp_path), Looker("anna"), Looker("bo")
    assert said.may_see_in(anna, "change", "triage", "reason")
    assert not said.may_see_in(anna, "change", "triage", "detail")
    assert not said.may_see_in(anna, "override", "triage", "reason")
    assert said.may_see_in(bo, "override", "triage", "my_own")
    assert (said.may_see_quarantine(anna), said.may_see_quarantine(bo)) == (False, True)


def test_a_suspended_policy_gives_nobody_a_role_and_says_why() -> None:
    said = Policy(("subject.id",), {"all": Role("all", frozenset(("anna",)), ("*",))}, "not sealed")
    assert not said.may_see(Looker("anna"), "p", "subject.id")
    assert said.may_see(Looker("anna"), "p", "features.x")
    assert not said.may_see_quarantine(Looker("anna"))
    assert said.rule(Looker("anna")) == "not sealed"
