"""The order of the packages: imports go down only, pages leave torch to the engine, the engine knows no Streamlit."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
LEVELS = [
    {"core", "metrics"},
    {"scans", "networks", "calibration", "manual"},
    {"data", "explain", "input_check"},
    {"models"},
    {"training", "evaluation", "reading", "figures"},
    {"cli"},
    {"__main__"},
]
"""Every package on its level. A package imports packages of lower levels only, and none of its own level."""

SUBPACKAGES = {"data": ["sources", "dataset", "audit"]}
"""Within a package: each imports those before it only."""

LEVEL_OF = {package: level for level, packages in enumerate(LEVELS) for package in packages}
ENGINE = sorted((PROJECT / "xrai").rglob("*.py"))
SCREENS = [PROJECT / "streamlit_app.py", *sorted((PROJECT / "pages").rglob("*.py"))]
HEAVY = {"torch", "torchvision", "pytorch_grad_cam", "lightning_fabric", "cv2", "streamlit"}
"""What takes seconds to import: a page that waits for it opens late."""


def name_of(file):
    return str(file.relative_to(PROJECT))


def imports_of(file, *, at_start_only=False):
    """The modules that a file imports, in full; at its start, or also within functions and for types alone."""
    package = [*file.relative_to(PROJECT).parts[:-1]]
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = tree.body if at_start_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield origin
            yield from (f"{origin}.{item.name}" for item in node.names)


def engine_modules(file, **named):
    """The engine's modules that a file imports, in full."""
    names = {name for name in imports_of(file, **named) if name.startswith("xrai.")}
    return {name for name in names if is_module(name)}


def is_module(name):
    path = PROJECT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def packages_of(file, **named):
    return {name.split(".")[1] for name in engine_modules(file, **named)}


def package_of(file):
    return file.relative_to(PROJECT / "xrai").parts[0].removesuffix(".py")


def subpackage_of(file, package):
    parts = file.relative_to(PROJECT / "xrai" / package).parts
    return parts[0].removesuffix(".py")


def test_there_is_something_to_look_at():
    assert len(ENGINE) > 20
    assert "xrai/training/run.py" in map(name_of, ENGINE)
    assert packages_of(PROJECT / "xrai" / "cli" / "runs.py") >= {"models", "core", "training"}
    assert "numpy" in set(imports_of(PROJECT / "xrai" / "metrics" / "measures.py"))


def test_every_package_has_its_level():
    """Give a new package a level here, and name it in README's section on the code."""
    assert {package_of(file) for file in ENGINE} - {"__init__"} == set(LEVEL_OF)


def test_there_are_few_packages_on_few_levels():
    assert len(LEVEL_OF) <= 17
    assert len(LEVELS) <= 7


@pytest.mark.parametrize("file", ENGINE, ids=name_of)
def test_imports_only_go_down(file):
    own = package_of(file)
    if own == "__init__":
        assert not engine_modules(file)
        return
    wrong = {name for name in packages_of(file) - {own} if LEVEL_OF[name] >= LEVEL_OF[own]}
    assert not wrong, f"{name_of(file)}, level {LEVEL_OF[own]}, imports upwards or sideways: {wrong}"


@pytest.mark.parametrize("package", sorted(SUBPACKAGES))
def test_subpackages_import_only_those_before_them(package):
    order = SUBPACKAGES[package]
    for number, own in enumerate(order):
        for file in sorted((PROJECT / "xrai" / package / own).rglob("*.py")):
            names = {name.split(".")[2] for name in engine_modules(file) if name.startswith(f"xrai.{package}.")}
            assert not names & set(order[number + 1 :]), name_of(file)


@pytest.mark.parametrize("package", sorted(set(LEVEL_OF) - {"__main__"}))
def test_no_ring_of_modules_within_a_package(package):
    """What is imported within functions counts, what is imported for types alone too; `__init__` gathers names."""
    files = [file for file in ENGINE if package_of(file) == package and file.name != "__init__.py"]
    module_of = {".".join(file.relative_to(PROJECT).with_suffix("").parts): file for file in files}
    needs = {name: engine_modules(file) & set(module_of) - {name} for name, file in module_of.items()}
    done = set()
    while ready := {name for name, below in needs.items() if name not in done and below <= done}:
        done |= ready
    assert done == set(needs), f"in a ring: {set(needs) - done}"


@pytest.mark.parametrize("file", ENGINE, ids=name_of)
def test_the_engine_knows_nothing_of_the_screens(file):
    roots = {name.split(".")[0] for name in imports_of(file)}
    assert not roots & {"streamlit", "pages", "streamlit_app"}


@pytest.mark.parametrize("file", SCREENS, ids=name_of)
def test_screens_leave_the_work_to_the_engine(file):
    roots = {name.split(".")[0] for name in imports_of(file)}
    assert not roots & {"torch", "torchvision", "h5py", "cv2", "pytorch_grad_cam", "lightning_fabric", "pydicom"}


@pytest.mark.parametrize("file", ENGINE, ids=name_of)
def test_every_module_says_first_what_it_is(file):
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))


def test_there_is_no_place_for_odds_and_ends():
    assert not [file for file in [*ENGINE, *SCREENS] if file.stem in ("utils", "util", "helpers", "misc", "common")]


def in_a_fresh_python(code):
    return subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)


def test_what_pages_import_at_once_does_not_load_torch():
    """A page that waits for torch takes 6 to 10 seconds to open first."""
    names = {name for file in SCREENS for name in engine_modules(file, at_start_only=True)}
    lines = [f"import {name}" for name in sorted(names)]
    done = in_a_fresh_python("\n".join(["import sys", *lines, f"print(sorted({HEAVY} & set(sys.modules)))"]))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_command_line_starts_without_torch():
    """`--help`, and building a dataset, need not wait for it."""
    done = in_a_fresh_python("import sys, xrai.cli, xrai.data.dataset; print('torch' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_importing_the_engine_writes_nothing(tmp_path):
    names = [".".join(file.relative_to(PROJECT).with_suffix("").parts) for file in ENGINE if file.stem != "__main__"]
    code = f"import os; os.environ['XRAI_HOME'] = {str(tmp_path / 'home')!r}\n"
    code += "\n".join(f"import {name.removesuffix('.__init__')}" for name in names if "gdcm_process" not in name)
    done = in_a_fresh_python(code)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "home").exists()
