"""The lock file holds every distribution with its hashes, in the versions of the readable list."""

import re

import pytest

from xrai.core.paths import PROJECT_DIR

PINS = dict(re.findall(r"^([\w.-]+)==([\w.+-]+)", (PROJECT_DIR / "requirements.txt").read_text(encoding="utf-8"), re.M))
LOCK = (PROJECT_DIR / "requirements.lock").read_text(encoding="utf-8")
ENTRIES = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.M)[1:]


def test_every_pin_is_locked_in_its_version():
    locked = dict(re.match(r"([\w.-]+)==([\w.+-]+)", entry).groups() for entry in ENTRIES)
    assert len(PINS) > 20
    assert {name: locked.get(name) for name in PINS} == PINS


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.split("==")[0])
def test_every_distribution_has_hashes(entry):
    assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry)


def test_no_registry_is_named():
    assert "://" not in LOCK and "--index-url" not in LOCK
