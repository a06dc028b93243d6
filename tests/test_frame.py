"""What stands around the code says the same as the code."""

import re

import pytest
import yaml
from conftest import PROJECT, REPOSITORY

import pinas_mm


def test_there_is_one_version_and_one_license():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] == pinas_mm.__version__
    assert citation["license"] == PROJECT["license"]["text"]
    assert citation["preferred-citation"]["authors"][0]["family-names"] == "Peng"


def test_the_changelog_has_what_is_not_released_first():
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    heads = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert heads[0] == "Unreleased"
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_workflow_runs_what_ci_runs():
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
    runs = "\n".join(step.get("run", "") for step in workflow["jobs"]["test"]["steps"])
    script = (REPOSITORY / ".ci/run").read_text()
    wanted = re.findall(r"^(?:make .+|bash tools/.+)$", script, re.MULTILINE)
    assert wanted
    assert not [command for command in wanted if command not in runs]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_files_that_are_named_are_there(name):
    text = (REPOSITORY / name).read_text()
    paths = re.findall(r"(?<=`)(?:pinas_mm|tests|tools|benchmarks|configs|docs)/[\w./]+(?=`)", text)
    paths += re.findall(r"\]\((\w[\w./]+)\)", text)
    assert paths
    assert not [p for p in paths if "NAME" not in p and not (REPOSITORY / p).exists()]
