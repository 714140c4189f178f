"""Draw the packages of the engine and their imports: docs/images/packages.svg, shown in README.

python docs/packages.py           # write the picture
python docs/packages.py --check   # exit with status 1 if the picture is out of date
"""

from __future__ import annotations

import ast
import sys
from html import escape
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
ENGINE = PROJECT / "xrai"
PICTURE = PROJECT / "docs" / "images" / "packages.svg"

Graph = dict[str, set[str]]
"""Imported packages by importing package."""

WIDTH = 1080
"""Width of the picture in pixels."""

BOX_WIDTH = 210
BOX_HEIGHT = 58
ROW_HEIGHT = 118

CONTENTS = {
    "core": "errors, paths, jobs, messages",
    "metrics": "AUC, confidence intervals",
    "scans": "files to pixels, phantoms",
    "networks": "PyTorch networks",
    "calibration": "thresholds, abstention",
    "manual": "the manual's examples",
    "data": "sources, HDF5 dataset, audit",
    "explain": "heatmaps, similar cases",
    "input_check": "out-of-distribution detection",
    "figures": "Plotly figures",
    "models": "model cards, checkpoints",
    "training": "runs, sweeps, diagnostics",
    "evaluation": "results on a split",
    "reading": "diagnosis of a scan",
    "clinic": "DICOM node, reports",
    "cli": "command line",
}
"""What stands below the name of a package."""


def main() -> int:
    """Write or check the picture; returns the exit status."""
    picture = draw(read_imports())
    if "--check" not in sys.argv:
        PICTURE.write_text(picture, encoding="utf-8")
    elif not PICTURE.is_file() or PICTURE.read_text(encoding="utf-8") != picture:
        print("docs/images/packages.svg is out of date: run python docs/packages.py", file=sys.stderr)
        return 1
    return 0


def read_imports() -> Graph:
    """The imports between the packages of the engine, function-level imports included."""
    names = sorted(item.name for item in ENGINE.iterdir() if (item / "__init__.py").is_file())
    return {name: _imports_of(ENGINE / name) & set(names) - {name} for name in names}


def levels(graph: Graph) -> dict[str, int]:
    """The level of each package: one above the highest package that it imports, from 0.

    Raises:
        ValueError: packages import each other in a circle.
    """
    result: dict[str, int] = {}
    while missing := sorted(set(graph) - set(result)):
        ready = [name for name in missing if graph[name] <= set(result)]
        if not ready:
            raise ValueError(f"circular imports: {missing}")
        result |= {name: 1 + max((result[item] for item in graph[name]), default=-1) for name in ready}
    return result


def reduce_edges(graph: Graph) -> list[tuple[str, str]]:
    """The imports that do not follow from others (transitive reduction), as (importing, imported)."""
    below = {name: _reachable(graph, name) for name in graph}
    return [
        (name, target)
        for name, targets in sorted(graph.items())
        for target in sorted(targets)
        if not any(target in below[other] for other in targets - {target})
    ]


def draw(graph: Graph) -> str:
    """The picture as SVG: one row a level, arrows from the importing to the imported package."""
    positions = _positions(levels(graph))
    height = max(y for _, y in positions.values()) + BOX_HEIGHT + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif">',
        '<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#8090a0"/></marker>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *(_draw_arrow(positions[name], positions[target]) for name, target in reduce_edges(graph)),
        *(_draw_box(name, *positions[name]) for name in sorted(graph)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _imports_of(folder: Path) -> set[str]:
    """Packages of the engine that the modules of a folder import."""
    modules: set[str] = set()
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {item.name for item in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules |= {node.module, *(f"{node.module}.{item.name}" for item in node.names)}
    return {name.split(".")[1] for name in modules if name.startswith("xrai.")}


def _reachable(graph: Graph, name: str) -> set[str]:
    """All packages that a package imports, directly or not."""
    return graph[name].union(*(_reachable(graph, target) for target in graph[name]))


def _positions(level_of: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Left and upper edge of each box, the highest level first."""
    top = max(level_of.values())
    positions = {}
    for level in range(top + 1):
        row = sorted(name for name, other in level_of.items() if other == level)
        for number, name in enumerate(row):
            center = WIDTH * (2 * number + 1) // (2 * len(row))
            positions[name] = center - BOX_WIDTH // 2, 20 + (top - level) * ROW_HEIGHT
    return positions


def _draw_arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    half = BOX_WIDTH // 2
    x1, y1, x2, y2 = start[0] + half, start[1] + BOX_HEIGHT, end[0] + half, end[1]
    middle = (y1 + y2) // 2
    return (
        f'<path d="M{x1} {y1} C{x1} {middle} {x2} {middle} {x2} {y2 - 1}" fill="none" stroke="#8090a0" '
        'marker-end="url(#arrow)"/>'
    )


def _draw_box(name: str, x: int, y: int) -> str:
    center = x + BOX_WIDTH // 2
    contents = escape(CONTENTS.get(name, ""))
    return (
        f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="#eef3f8" stroke="#40607f"/>'
        f'<text x="{center}" y="{y + 25}" text-anchor="middle" font-size="16" font-weight="bold">{escape(name)}</text>'
        f'<text x="{center}" y="{y + 45}" text-anchor="middle" font-size="12" fill="#405060">{contents}</text>'
    )


if __name__ == "__main__":
    sys.exit(main())
