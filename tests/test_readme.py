"""README's section on the code: every file and name in it exists, and the picture is up to date."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
SECTION = README.split("## How the code is organised\n")[1].split("\n## ")[0]
STEPS = [" ".join(step.split()) for step in re.findall(r"^\d\. (.+(?:\n   .+)*)", SECTION, re.MULTILINE)]


def names_in(path):
    """Functions, classes and constants that a module defines."""
    names = set()
    for node in ast.parse((PROJECT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            names |= {item.asname or item.name for item in node.names}
    return names


def test_there_are_three_walks():
    assert len(re.findall(r"^\*\*.+\*\*$", SECTION, re.MULTILINE)) == 3
    assert len(STEPS) > 10


@pytest.mark.parametrize("code", sorted(set(re.findall(r"`([\w./]+/[\w./]*)`", SECTION))))
def test_paths_exist(code):
    assert (PROJECT / code).exists()


@pytest.mark.parametrize("step", STEPS)
def test_names_exist(step):
    """A step starts with a file, in which the names of the step are defined."""
    path, *others = re.findall(r"`([^`]+)`", step)
    names = {name for name in others if "/" not in name}
    assert names <= names_in(path)


def test_every_package_is_in_the_table():
    packages = {item.parent.name for item in (PROJECT / "xrai").glob("*/__init__.py")}
    rows = [line.split("|")[2] for line in SECTION.splitlines() if re.match(r"\| \d", line)]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == packages


def test_the_picture_of_the_packages_is_up_to_date():
    command = [sys.executable, "docs/packages.py", "--check"]
    assert subprocess.run(command, cwd=PROJECT, check=False).returncode == 0


def test_the_flags_and_verbs_in_readme_exist():
    from xrai.cli.parser import make_parser

    commands = re.findall(r"^python -m xrai (.+?)(?:\s+#.*)?$", README, re.MULTILINE)
    assert len(commands) > 10
    for command in commands:
        flags = re.findall(r"(--[a-z-]+)", command)
        verb = command.split()[0]
        usage = next(action for action in make_parser()._actions if action.choices).choices[verb].format_help()
        assert not [flag for flag in flags if f"{flag} " not in usage and f"{flag}]" not in usage], command
