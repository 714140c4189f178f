"""Pictures that stand in a dataset more than once: equal files, and copies resized, re-encoded or of other contrast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np

from xrai.audit.findings import CONFLICTING, EXACT, NEAR, Finding, Severity, count
from xrai.audit.looking import Look, shrunk
from xrai.dataset import Dataset
from xrai.sources import SPLITS

COARSE, FINE = 0.85, 0.65
"""Correlation at 32 and at 128 pixels from which two scans are one picture.

Of 13 million pairs of different films outside the test split of a public set, several of one patient among them, the
closest reached 0.57 at 128 pixels; copies of its training films of gamma 0.5 to 2, equalised, at 64 pixels or at
JPEG quality 10 kept at least 0.74, and the real copies among the films of another set 0.87.
"""

SPREADS, HIGHEST = 4.5, 0.9
"""Where all films of a set are much alike, as drawings are, one picture must stand out from them: by so many standard
deviations of the correlations between films drawn at random, up to this correlation."""

_DRAWN = 200
"""Films among which it is measured how much alike a set's films are."""

_AT_ONCE = 512
_KEPT = 512

Group = tuple[int, ...]


def duplicates(look: Look) -> list[Finding]:
    """Conflicting labels, equal files and near copies, a finding each."""
    dataset = look.dataset
    equal = _equal_files(dataset.hashes)
    same = _joined([*equal, *_near_pairs(look, _first_of_each(dataset.hashes))])
    conflicting = [group for group in same if len(set(dataset.labels[list(group)])) > 1]
    disputed = {row for group in conflicting for row in group}
    exact = [group for group in equal if group[0] not in disputed]
    near = [group for group in same if group[0] not in disputed and len(set(dataset.hashes[list(group)])) > 1]
    return [_conflicts(look, conflicting), _copies(look, EXACT, exact), _copies(look, NEAR, near)]


def best_of(look: Look, group: Sequence[int]) -> int:
    """The row to keep of copies: test before validation before training, so that a test split stays what it is.

    Within a split the one whose file has the most pixels, then the most bytes, then the first.
    """
    n_bytes, splits = look.dataset.facts()["n_bytes"], look.dataset.splits
    return max(group, key=lambda row: (splits[row], look.pixels[row], n_bytes[row], -row))


# ---------------------------------------------------------------- findings


def _conflicts(look: Look, groups: list[Group]) -> Finding:
    if not groups:
        return Finding(CONFLICTING, "fine", "No conflicting labels", "No picture stands in two classes.")
    rows = sorted(row for group in groups for row in group)
    return Finding(
        CONFLICTING,
        "serious",
        "One picture, two labels",
        f"{count(len(groups), 'picture')} ({count(len(rows), 'scan')}) stand in more than one class: "
        "at least one of the labels is wrong.",
        "Ask a radiologist which is right. Until then take all of them out, for nobody can say which label to learn.",
        {"groups": len(groups), "scans": len(rows)},
        tuple(groups),
        tuple(rows),
        *_concerned(look.dataset, rows),
    )


_WORDS = {
    EXACT: ("files", "equal files", "as the very same file"),
    NEAR: ("pictures", "near copies", "as a copy that was resized, re-encoded or changed in contrast"),
}


def _copies(look: Look, kind: str, groups: list[Group]) -> Finding:
    things, name, how = _WORDS[kind]
    if not groups:
        return Finding(kind, "fine", f"No {name}", f"No picture stands in the dataset twice {how}.")
    splits = look.dataset.splits
    groups = sorted(groups, key=lambda group: len(set(splits[list(group)])) == 1)  # those across splits first
    across = sum(len(set(splits[list(group)])) > 1 for group in groups)
    best = {best_of(look, group) for group in groups}
    rows = sorted(row for group in groups for row in group)
    severity: Severity = "serious" if across else "notable"
    return Finding(
        kind,
        severity,
        f"{name[0].upper()}{name[1:]}" + (" across splits" if across else ""),
        f"{count(len(groups), 'picture')} ({count(len(rows), 'scan')}) stand in the dataset more than once {how}; "
        + (f"{across:,} of them in more than one split." if across else "none of them in more than one split."),
        _advice(things, across),
        {"groups": len(groups), "scans": len(rows), "across_splits": across},
        tuple(groups),
        tuple(row for row in rows if row not in best),
        *_concerned(look.dataset, rows),
    )


def _advice(things: str, across: int) -> str:
    if across:
        return (
            "A model has seen these scans before it is tested on them, so that its figures flatter it. Take the copies "
            f"out; of {things} in training and test, the test keeps its own."
        )
    return f"Such {things} count twice when the model learns or is measured. Take the copies out; the best one stays."


def _concerned(dataset: Dataset, rows: Iterable[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes and splits of some rows, by name."""
    chosen = list(rows)
    labels, splits = sorted(set(dataset.labels[chosen])), sorted(set(dataset.splits[chosen]))
    return tuple(dataset.classes[label] for label in labels), tuple(SPLITS[split] for split in splits)


# ---------------------------------------------------------------- which are the same


def _equal_files(hashes: np.ndarray) -> list[Group]:
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, content in enumerate(hashes):
        rows_of[content].append(row)
    return [tuple(rows) for rows in rows_of.values() if len(rows) > 1]


def _first_of_each(hashes: np.ndarray) -> np.ndarray:
    return np.sort(np.unique(hashes.astype(str), return_index=True)[1])


def _near_pairs(look: Look, rows: np.ndarray) -> list[Group]:
    """Pairs of different files that show one picture: alike as thumbnails, and still alike in detail."""
    coarse = np.stack([pattern(grey, 3).ravel() for grey in look.greys(32)[rows]])  # (n, 1024)

    @lru_cache(_KEPT)
    def detail(row: int) -> np.ndarray:
        return pattern(shrunk(look.dataset.images([row])[0], 128), 4).ravel()

    fine = _cut(rows, detail)
    pairs: list[Group] = []
    for start in range(0, len(rows), _AT_ONCE):
        alike = np.abs(coarse[start : start + _AT_ONCE] @ coarse[start:].T)  # an inverted copy has −1
        for i, j in zip(*np.nonzero(np.triu(alike >= COARSE, 1)), strict=True):
            one, other = int(rows[start + i]), int(rows[start + j])
            if abs(float(detail(one) @ detail(other))) >= fine:
                pairs.append((one, other))
    return pairs


def _cut(rows: np.ndarray, detail: Callable[[int], np.ndarray]) -> float:
    """The correlation at 128 pixels from which two films of this set are one picture."""
    if len(rows) < 3:
        return FINE
    drawn = np.random.default_rng(0).permutation(rows)[:_DRAWN]
    details = np.stack([detail(int(row)) for row in drawn])
    between = (details @ details.T)[np.triu_indices(len(drawn), 1)]
    middle = float(np.median(between))  # copies among them must not count
    spread = 1.4826 * float(np.median(np.abs(between - middle)))
    return float(np.clip(middle + SPREADS * spread, FINE, HIGHEST))


def pattern(picture: np.ndarray, reach: float) -> np.ndarray:
    """The fine structure of a picture (H, W), float32 of length 1: its contrast evened out within `reach` pixels.

    Each value less its neighbourhood's mean, divided by its neighbourhood's spread (local contrast normalisation,
    Jarrett et al., ICCV 2009). So brightness, contrast and gamma hardly matter. A blank picture has no structure: 0.
    """
    import cv2

    values = picture.astype(np.float32)
    off = values - cv2.GaussianBlur(values, (0, 0), reach)
    even = off / np.sqrt(cv2.GaussianBlur(off * off, (0, 0), reach) + 4)  # 4: noise of two grey values counts little
    even -= even.mean()
    return even / max(float(np.linalg.norm(even)), 1e-6)


def _joined(pairs: Iterable[Group]) -> list[Group]:
    """Groups of rows that hang together, each ascending, in order of their first."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = [(group[0], row) for group in pairs for row in group[1:]]
    if not links:
        return []
    names, ends = np.unique(np.array(links), return_inverse=True)
    ends = ends.reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    _, place = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = defaultdict(list)
    for name, number in zip(names.tolist(), place.tolist(), strict=True):
        groups[number].append(name)
    return [tuple(rows) for rows in groups.values()]
