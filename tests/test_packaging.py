"""pyproject.toml is the source; environment.yml and requirements.lock say the same."""

import csv
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import licences
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"torch": "pytorch", "tables": "pytables"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]


def locked() -> dict[str, list[str]]:
    """Return the lock's entries: package name -> the lines of its blocks."""
    entries: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text()):
        if not block.startswith("#"):
            entries.setdefault(block.split("==")[0], []).append(block)
    return entries


def advisories(package: str, version: str) -> list[str]:
    """Return the advisories of docs/advisories.csv in whose range a version lies."""
    rows = csv.DictReader((ROOT / "docs" / "advisories.csv").read_text().splitlines())
    ranges = [(row["advisory"], part) for row in rows if row["package"] == package
              for part in row["affected"].split(" | ")]  # fmt: skip
    return [name for name, part in ranges if SpecifierSet(part).contains(version, prereleases=True)]


@pytest.mark.parametrize("check", [["check"], ["format", "--check"]], ids=" ".join)
def test_code_and_notebooks_are_as_the_hooks_leave_them(check):
    done = subprocess.run([sys.executable, "-m", "ruff", *check], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_conda_environment_has_the_same_packages_with_the_same_bounds():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = [one for one in conda if isinstance(one, str)] + conda[-1]["pip"]
    expected = {f"{CONDA_NAMES.get(one.name, one.name)}{one.specifier}" for one in REQUIREMENTS}
    assert set(conda) == expected | {f"python{PROJECT['requires-python']}", "pip"}
    assert len(conda) == len(set(conda))


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda one: one.name)
def test_each_dependency_has_a_lower_bound_that_the_lock_keeps(requirement):
    assert [one.operator for one in requirement.specifier] == [">="]
    for block in locked()[requirement.name]:
        version = re.match(r"[^=]+==([^ ;]+)", block).group(1)
        assert requirement.specifier.contains(version), f"run `make lock`: {block.splitlines()[0]}"


# docs/advisories.md says what is looked up, and what is not
def test_no_locked_version_has_an_advisory_that_was_found():
    for name, blocks in locked().items():
        for block in blocks:
            assert not advisories(name, re.match(r"[^=]+==([^ ;]+)", block)[1]), name
    # those named as a control on the page
    for name, version in {"pillow": "9.0.0", "tornado": "6.5.8", "bleach": "6.3.0", "urllib3": "2.7.0"}.items():
        assert advisories(name, version), name


# torch: in `torch.jit.script`, which cskt does not call, and GPU machines come with their own torch
# setuptools: in what it does with downloads; here it only builds the package, and older torch asks for an older one
OLDER = {"torch": "2.11", "setuptools": "77"}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda one: one.name)
def test_no_lowest_version_has_an_advisory_that_was_found_unless_it_is_argued(requirement):
    lowest = str(requirement.specifier).removeprefix(">=")
    assert bool(advisories(requirement.name, lowest)) == (OLDER.get(requirement.name) == lowest)


def test_each_locked_package_has_a_version_and_hashes():
    for name, blocks in locked().items():
        for block in blocks:
            assert re.match(r"[a-z0-9-]+==[^ ]+( ; .+)? \\\n", block), name
            assert "--hash=sha256:" in block, name


def test_the_lock_names_no_download_host():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert not [line for line in lines if "://" in line or line.startswith("--")]


def test_the_lock_holds_on_every_supported_platform():
    # a lock of one machine has no markers; packages of other platforms and Pythons stand in a universal one
    text = (ROOT / "requirements.lock").read_text()
    assert "sys_platform == 'linux'" in text
    assert "sys_platform == 'darwin'" in text
    assert "python_full_version < '3.12'" in text


def test_every_locked_package_has_a_licence_that_is_compatible_and_listed():
    rows = dict(re.findall(r"^\| ([a-z0-9-]+) \| ([^|]+) \|$", licences.PAGE.read_text(), flags=re.MULTILINE))
    assert rows.keys() == set(licences.locked()), "the lock has changed: run `python tests/licences.py`"
    for name, listed in rows.items():
        # a package of another system tells nothing here: the page says what was found where it was written
        assert licences.family(name) in (listed, "not installed"), name
        assert listed in licences.ALLOWED, f"{name} is under {listed}: find another package, or argue for it"
