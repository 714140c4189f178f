import json
import os
import re
import subprocess
import sys

import pytest

from tests.xrai.cli.support import shell
from xrai.core.paths import PROJECT_DIR

VERBS = [
    "build",
    "inspect",
    "audit",
    "clean",
    "train",
    "sweep",
    "summary",
    "evaluate",
    "calibrate",
    "diagnose",
    "models",
]


MODEL_VERBS = ["compare", "rename", "note", "default", "intended-use", "export", "import", "delete"]


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS), *(["models", verb] for verb in MODEL_VERBS)])
def test_help(call, verb):
    printed = call(*verb, "--help")
    assert printed.status == 0
    assert printed.out.startswith(" ".join(["usage: python -m xrai", *verb, "[-h]"]))
    named = {(): VERBS, ("models",): MODEL_VERBS}.get(tuple(verb), [])
    assert [line.split()[0] for line in printed.out.splitlines() if line.startswith("    ") and line[4] != " "] == named


def test_help_says_what_to_type(call):
    """A setting that takes yes or no once said that its default is False."""
    said = " ".join(call("train", "--help").out.split())
    assert re.search(r"flip \{yes,no\} [^-]*scans[^-]*\(default no\)", said)
    assert "False" not in said
    assert "--weights MODEL" in said


def test_version(call):
    assert call("--version").out.startswith("xrai ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["build"],
        ["build", "x"],
        ["train", "x"],
        ["train", "x", "--name", "m", "--epochs", "many"],
        ["train", "x", "--name", "m", "--network", "alexnet"],
        ["train", "x", "--name", "m", "--hflip", "perhaps"],
        ["evaluate", "m"],
        ["evaluate", "m", "x", "--split", "all"],
        ["diagnose"],
        ["diagnose", "x", "--what"],
        ["sweep", "x"],
        ["sweep", "x", "--name", "s", "--vary"],
        ["summary", "--classes", "two"],
        ["summary", "x"],
        ["models", "dance"],
        ["models", "compare"],
        ["models", "rename", "m"],
        ["models", "note", "m"],
        ["models", "default"],
        ["models", "export", "m"],
        ["models", "import"],
        ["models", "delete"],
    ],
)
def test_wrong_usage(call, home, arguments):
    printed = call(*arguments)
    assert printed.status == 2
    assert printed.out == ""
    assert "usage:" in printed.err


def test_a_cut_option_is_wrong_usage(call, practice):
    """`--learning-rat 3` was taken for the learning rate."""
    assert call("train", practice, "--name", "m", "--learning-rat", "3").status == 2


def test_the_shell_sees_one_json_document_and_status_0(home, drawings):
    done = shell("build", drawings, home / "data" / "Übung.hdf5", "--size", 64, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dataset"].endswith("Übung.hdf5")
    assert "Traceback" not in done.stderr


def test_the_shell_sees_status_1_and_2(home):
    stated, usage = shell("build", home / "nowhere", home / "d.hdf5"), shell("dance")
    assert (stated.returncode, stated.stdout) == (1, "")
    assert [line for line in stated.stderr.splitlines() if line.startswith("error: ")]
    assert (usage.returncode, usage.stdout) == (2, "")
    assert "Traceback" not in stated.stderr + usage.stderr


def test_a_console_of_another_code_page_is_borne(home, tmp_path):
    """A Windows console may not know the quotes and dashes of our sentences."""
    done = shell("inspect", home / "nowhere “x”", env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "“x”" in done.stderr


def test_a_reader_who_leaves_early_sees_no_traceback(home, drawings):
    command = [sys.executable, "-m", "xrai", "inspect", str(drawings)]
    with subprocess.Popen(
        command, cwd=PROJECT_DIR, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors
