"""Pictures that stand in a dataset more than once: equal files, and copies resized, re-encoded or of other contrast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from xrai.core.language import N_, say
from xrai.data.audit.findings import CONFLICTING, EXACT, NEAR, Finding, Severity, pictures, scans
from xrai.data.audit.looking import Look, Tell, part, shrunk, told
from xrai.data.dataset import Dataset
from xrai.data.sources import SPLITS

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

_SIDE = 128
_AT_ONCE = 256
_KEPT = 32
"""Blocks of `_AT_ONCE` films whose fine structure is kept: 8 MB each."""

Group = tuple[int, ...]


def duplicates(look: Look, tell: Tell) -> list[Finding]:
    """Conflicting labels, equal files and near copies, a finding each."""
    dataset = look.dataset
    equal = _equal_files(dataset.hashes)
    near_links = _near_links(look, _first_of_each(dataset.hashes), tell)
    same = _joined(np.concatenate([_links(equal), near_links]))
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
        return Finding(CONFLICTING, "fine", say("No conflicting labels"), say("No picture stands in two classes."))
    rows = sorted(row for group in groups for row in group)
    return Finding(
        CONFLICTING,
        "serious",
        say("One picture, two labels"),
        say(
            "{pictures} ({scans}) stand in more than one class: at least one of the labels is wrong.",
            pictures=pictures(len(groups)),
            scans=scans(len(rows)),
        ),
        say(
            "Ask a radiologist which is right. Until then take all of them out, for nobody can say which label to "
            "learn."
        ),
        {"groups": len(groups), "scans": len(rows)},
        tuple(groups),
        tuple(rows),
        *_concerned(look.dataset, rows),
    )


_WORDS = {
    EXACT: ("files", N_("as the very same file")),
    NEAR: ("pictures", N_("as a copy that was resized, re-encoded or changed in contrast")),
}
_TITLES = {
    EXACT: (N_("No equal files"), N_("Equal files"), N_("Equal files across splits")),
    NEAR: (N_("No near copies"), N_("Near copies"), N_("Near copies across splits")),
}
"""Of what came out well, of copies within splits, and of those across."""


def _copies(look: Look, kind: str, groups: list[Group]) -> Finding:
    (things, how), (none, within, between) = _WORDS[kind], _TITLES[kind]
    if not groups:
        return Finding(kind, "fine", none, say("No picture stands in the dataset twice {how}.", how=how))
    splits = look.dataset.splits
    groups = sorted(groups, key=lambda group: len(set(splits[list(group)])) == 1)  # those across splits first
    across = sum(len(set(splits[list(group)])) > 1 for group in groups)
    best = {best_of(look, group) for group in groups}
    rows = sorted(row for group in groups for row in group)
    severity: Severity = "serious" if across else "notable"
    how_many = say("{across:,} of them", across=across) if across else say("none of them")
    return Finding(
        kind,
        severity,
        between if across else within,
        say(
            "{pictures} ({scans}) stand in the dataset more than once {how}; {how_many} in more than one split.",
            pictures=pictures(len(groups)),
            scans=scans(len(rows)),
            how=how,
            how_many=how_many,
        ),
        _advice(things, across),
        {"groups": len(groups), "scans": len(rows), "across_splits": across},
        tuple(groups),
        tuple(row for row in rows if row not in best),
        *_concerned(look.dataset, rows),
    )


def _advice(things: str, across: int) -> str:
    if across:
        return say(
            "A model has seen these scans before it is tested on them, so that its figures flatter it. Take the copies "
            "out; of {things} in training and test, the test keeps its own.",
            things=things,
        )
    return say(
        "Such {things} count twice when the model learns or is measured. Take the copies out; the best one stays.",
        things=things,
    )


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


def _near_links(look: Look, rows: np.ndarray, tell: Tell) -> np.ndarray:
    """Links (k, 2) between different files that show one picture: alike as thumbnails, and still alike in detail.

    What hangs together is linked as a whole, not pair by pair: where all films are alike, pairs fill the memory.
    """
    coarse = _coarse(look, rows, part(tell, 0, 3))
    alike = _alike(coarse, part(tell, 1, 3))
    if not alike.any():
        return _links([])
    fine = _cut(look, rows)
    rows, coarse = rows[alike], coarse[alike]

    @lru_cache(_KEPT)
    def details(start: int) -> np.ndarray:
        return _details(look, rows[start : start + _AT_ONCE]).astype(np.float16)

    links = _links([])
    for one, other in told(_blocks(len(rows)), part(tell, 2, 3)):
        i, j = _pairs(coarse, one, other)
        if len(i):
            same = np.abs(_between(details(one), details(other), i, j)) >= fine
            new = np.stack([rows[one + i[same]], rows[other + j[same]]], axis=1)
            links = _links(_joined(np.concatenate([links, new])))
    return links


def _coarse(look: Look, rows: np.ndarray, tell: Tell) -> np.ndarray:
    """The structure of the thumbnails of some rows, float32 (n, 1024)."""
    greys = look.greys(32)[rows]
    blocks = told(range(0, len(rows), _AT_ONCE), tell)
    return np.stack([pattern(grey, 3).ravel() for start in blocks for grey in greys[start : start + _AT_ONCE]])


def _details(look: Look, rows: np.ndarray) -> np.ndarray:
    """The fine structure of some rows, float32 (n, 16384)."""
    return np.stack([pattern(shrunk(look.dataset.images([row])[0], _SIDE), 4).ravel() for row in rows])


def _alike(coarse: np.ndarray, tell: Tell) -> np.ndarray:
    """Which films look like another one as thumbnails, bool (n,)."""
    found = np.zeros(len(coarse), bool)
    for one, other in told(_blocks(len(coarse)), tell):
        i, j = _pairs(coarse, one, other)
        found[one + i] = found[other + j] = True
    return found


def _pairs(coarse: np.ndarray, one: int, other: int) -> tuple[np.ndarray, np.ndarray]:
    """The films of two blocks that are alike as thumbnails, as places in them, int64 (k,) each; every pair once."""
    alike = np.abs(coarse[one : one + _AT_ONCE] @ coarse[other : other + _AT_ONCE].T) >= COARSE  # an inverted one: −1
    i, j = np.nonzero(np.triu(alike, 1) if one == other else alike)
    return i, j


def _between(ones: np.ndarray, others: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """The correlations of the structures at places `i` of one block with those at `j` of another, float32 (k,)."""
    (left, i), (right, j) = np.unique(i, return_inverse=True), np.unique(j, return_inverse=True)
    return (ones[left].astype(np.float32) @ others[right].astype(np.float32).T)[i, j]


def _blocks(n: int) -> list[tuple[int, int]]:
    """The first rows of every two blocks of `n` films, one not after the other.

    In such an order that one that is met again is mostly still kept, however many there are.
    """
    starts = range(0, n, _AT_ONCE)
    held = [starts[first : first + _KEPT - 1] for first in range(0, len(starts), _KEPT - 1)]
    return [(one, other) for ones in held for other in range(ones[0], n, _AT_ONCE) for one in ones if one <= other]


def _cut(look: Look, rows: np.ndarray) -> float:
    """The correlation at 128 pixels from which two films of this set are one picture."""
    if len(rows) < 3:
        return FINE
    drawn = np.random.default_rng(0).permutation(rows)[:_DRAWN]
    details = _details(look, drawn)
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


def _links(groups: Iterable[Group]) -> np.ndarray:
    """Rows to be joined: the first of each group with each of its others, int64 (k, 2)."""
    return np.array([(group[0], row) for group in groups for row in group[1:]], np.int64).reshape(-1, 2)


def _joined(links: np.ndarray) -> list[Group]:
    """Groups of rows that hang together by links (k, 2), each ascending, in order of their first."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(links):
        return []
    names, ends = np.unique(links, return_inverse=True)
    ends = ends.reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    _, place = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = defaultdict(list)
    for name, number in zip(names.tolist(), place.tolist(), strict=True):
        groups[number].append(name)
    return [tuple(rows) for rows in groups.values()]
