"""What DESIGN.md says of imports, looked up in the files themselves and, for torch, tried out in a fresh Python."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
FLOORS = [
    {"errors", "settings", "config", "records", "language", "labels", "dataset_jobs"},
    {
        "scans", "networks", "preprocessing", "augmentation", "metrics", "figures", "heatmaps", "phantoms", "gate",
        "calibration", "neighbours", "shifts", "convolution", "dense", "borrowing",
    },
    {
        "audit", "dataset", "sources", "survey", "explanation", "faithfulness", "checkpoint", "report", "blueprint",
        "measurements", "classification", "kit", "decisions", "exercises", "curves", "feature_maps",
    },
    {"jobs", "diagnosis", "training", "evaluation", "models", "sweep", "readiness"},
    {"cli", "__main__"},
]  # fmt: skip
FLOOR_OF = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}
ENGINE = sorted((PROJECT / "xrai").rglob("*.py"))
SCREENS = [PROJECT / "streamlit_app.py", *sorted((PROJECT / "pages").rglob("*.py"))]
LIGHT = {
    "audit", "checkpoint", "config", "jobs", "dataset", "sources", "settings", "scans", "figures", "heatmaps", "report",
    "survey", "records", "measurements", "models", "sweep", "metrics", "gate", "calibration", "labels", "dataset_jobs",
    "neighbours", "kit", "decisions", "classification", "language", "convolution", "dense",
    "curves",
}  # fmt: skip


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
    """The engine's modules that a file imports, by their first name below `xrai`."""
    found = {name.split(".")[1] for name in imports_of(file, **named) if name.startswith("xrai.")}
    return found & {module.stem for module in (PROJECT / "xrai").iterdir()} | found & set(FLOOR_OF)


def module_of(file):
    return file.relative_to(PROJECT / "xrai").parts[0].removesuffix(".py")


def test_there_is_something_to_look_at():
    assert len(ENGINE) > 20
    assert "xrai/training/run.py" in map(name_of, ENGINE)
    assert engine_modules(PROJECT / "xrai" / "cli" / "runs.py") >= {"checkpoint", "jobs", "training", "config"}
    assert "numpy" in set(imports_of(PROJECT / "xrai" / "metrics" / "measures.py"))


def test_every_module_has_its_floor():
    """Give a new module a floor here, and name it in DESIGN.md's table."""
    assert {module_of(file) for file in ENGINE} - {"__init__"} == set(FLOOR_OF)


@pytest.mark.parametrize("file", ENGINE, ids=name_of)
def test_imports_only_go_down(file):
    own = module_of(file)
    if own == "__init__":
        assert not engine_modules(file)
        return
    upwards = {name for name in engine_modules(file) - {own} if FLOOR_OF[name] > FLOOR_OF[own]}
    assert not upwards, f"{name_of(file)}, floor {FLOOR_OF[own]}, imports from above: {upwards}"


def test_no_two_modules_need_each_other():
    needs = {module: set() for module in FLOOR_OF}
    for file in ENGINE:
        if module_of(file) in needs:
            needs[module_of(file)] |= engine_modules(file) - {module_of(file)}
    done = set()
    while ready := {module for module, below in needs.items() if module not in done and below <= done}:
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
    wanted = {*LIGHT}
    for file in SCREENS:
        wanted |= engine_modules(file, at_start_only=True)
    lines = [f"import xrai.{name}" for name in sorted(wanted)]
    heavy = "{'torch', 'torchvision', 'pytorch_grad_cam', 'lightning_fabric', 'cv2', 'streamlit'}"
    done = in_a_fresh_python("\n".join(["import sys", *lines, f"print(sorted({heavy} & set(sys.modules)))"]))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_command_line_starts_without_torch():
    """`--help`, and building a dataset, need not wait for it."""
    done = in_a_fresh_python("import sys, xrai.cli, xrai.dataset; print('torch' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_importing_the_engine_writes_nothing(tmp_path):
    code = f"import os; os.environ['XRAI_HOME'] = {str(tmp_path / 'home')!r}\n" + "\n".join(
        f"import xrai.{name}" for name in sorted(LIGHT)
    )
    assert in_a_fresh_python(code).returncode == 0
    assert not (tmp_path / "home").exists()
