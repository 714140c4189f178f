"""Exact duplicates (SHA-256) and near-duplicates (correlation of locally normalised thumbnails)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from xrai.core.language import N_, say
from xrai.data.audit.dataset_pass import (
    DatasetPass,
    ProgressCallback,
    iterate_with_progress,
    resize_image,
    sub_progress,
)
from xrai.data.audit.findings import (
    CONFLICTING,
    EXACT,
    NEAR,
    AuditFinding,
    Group,
    fine_finding,
    picture_count,
    scan_count,
)
from xrai.data.dataset import Dataset
from xrai.data.sources import SPLITS

COARSE_CORRELATION, FINE_CORRELATION = 0.85, 0.65
"""Correlation at 32 and at 128 pixels from which two scans are one picture.

Of 13 million pairs of different films outside the test split of a public set, some of them of one patient, the highest
correlation at 128 pixels is 0.57. Altered copies of its training films (gamma 0.5 to 2, equalised, 64 pixels, JPEG
quality 10) keep at least 0.74, and the real copies in another set 0.87.
"""

MAD_FACTOR, MAX_CORRELATION = 4.5, 0.9
"""In a homogeneous set, such as phantoms, copies must exceed the median correlation of random pairs by this many
standard deviations; the threshold never exceeds the maximum."""

_N_SAMPLED = 200
"""Scans whose pairwise correlations show how homogeneous a set is."""

_DETAIL_SIDE = 128
_BLOCK_SIZE = 256
_N_CACHED_BLOCKS = 32
"""Blocks of `_BLOCK_SIZE` scans whose detail patterns are cached, 8 MB each."""


def find_duplicates(dataset_pass: DatasetPass, progress: ProgressCallback) -> list[AuditFinding]:
    """Conflicting labels, exact duplicates and near-duplicates, one finding each."""
    dataset = dataset_pass.dataset
    equal_groups = _group_equal_files(dataset.hashes)
    near_links = _find_near_links(dataset_pass, _first_row_per_hash(dataset.hashes), progress)
    similar_groups = _connected_groups(np.concatenate([_group_links(equal_groups), near_links]))
    conflicting = [group for group in similar_groups if len(set(dataset.labels[list(group)])) > 1]
    disputed_rows = {row for group in conflicting for row in group}
    exact = [group for group in equal_groups if group[0] not in disputed_rows]
    near = [
        group for group in similar_groups if group[0] not in disputed_rows and len(set(dataset.hashes[list(group)])) > 1
    ]
    return [
        _conflict_finding(dataset_pass, conflicting),
        _copies_finding(dataset_pass, EXACT, exact),
        _copies_finding(dataset_pass, NEAR, near),
    ]


def pick_best_copy(dataset_pass: DatasetPass, group: Sequence[int]) -> int:
    """The row to keep of copies: test before validation before training, so that the test split does not change.

    Within a split the one with the most pixels, then the most bytes, then the first.
    """
    n_bytes = dataset_pass.dataset.file_metadata()["n_bytes"]
    splits = dataset_pass.dataset.splits
    return max(group, key=lambda row: (splits[row], dataset_pass.n_pixels[row], n_bytes[row], -row))


# ---------------------------------------------------------------- findings


def _conflict_finding(dataset_pass: DatasetPass, groups: list[Group]) -> AuditFinding:
    if not groups:
        return fine_finding(CONFLICTING, say("No conflicting labels"), say("No picture stands in two classes."))
    rows = sorted(row for group in groups for row in group)
    classes, splits = _classes_and_splits(dataset_pass.dataset, rows)
    return AuditFinding(
        kind=CONFLICTING,
        severity="serious",
        title=say("One picture, two labels"),
        sentence=say(
            "{pictures} ({scans}) stand in more than one class: at least one of the labels is wrong.",
            pictures=picture_count(len(groups)),
            scans=scan_count(len(rows)),
        ),
        advice=say(
            "Ask a radiologist which is right. Until then take all of them out, for nobody can say which label to "
            "learn."
        ),
        numbers={"groups": len(groups), "scans": len(rows)},
        groups=tuple(groups),
        suggestion=tuple(rows),
        classes=classes,
        splits=splits,
    )


_COPY_WORDS = {
    EXACT: ("files", N_("as the very same file")),
    NEAR: ("pictures", N_("as a copy that was resized, re-encoded or changed in contrast")),
}
_TITLES = {
    EXACT: (N_("No identical files"), N_("Identical files"), N_("Identical files across splits")),
    NEAR: (N_("No near duplicates"), N_("Near duplicates"), N_("Near duplicates across splits")),
}
"""Titles for no copies, for copies within splits, and for copies across splits."""


def _copies_finding(dataset_pass: DatasetPass, kind: str, groups: list[Group]) -> AuditFinding:
    (things, how), (no_copies, within, between) = _COPY_WORDS[kind], _TITLES[kind]
    if not groups:
        return fine_finding(kind, no_copies, say("No picture stands in the dataset twice {how}.", how=how))
    splits = dataset_pass.dataset.splits
    groups = sorted(groups, key=lambda group: len(set(splits[list(group)])) == 1)  # those across splits first
    n_across = sum(len(set(splits[list(group)])) > 1 for group in groups)
    best_rows = {pick_best_copy(dataset_pass, group) for group in groups}
    rows = sorted(row for group in groups for row in group)
    class_names, split_names = _classes_and_splits(dataset_pass.dataset, rows)
    return AuditFinding(
        kind=kind,
        severity="serious" if n_across else "notable",
        title=between if n_across else within,
        sentence=say(
            "{pictures} ({scans}) stand in the dataset more than once {how}; {some} in more than one split.",
            pictures=picture_count(len(groups)),
            scans=scan_count(len(rows)),
            how=how,
            some=say("{n:,} of them", n=n_across) if n_across else say("none of them"),
        ),
        advice=_advice(things, n_across),
        numbers={"groups": len(groups), "scans": len(rows), "across_splits": n_across},
        groups=tuple(groups),
        suggestion=tuple(row for row in rows if row not in best_rows),
        classes=class_names,
        splits=split_names,
    )


def _advice(things: str, n_across: int) -> str:
    if n_across:
        return say(
            "A model has seen these scans before it is tested on them, so that its figures flatter it. Take the copies "
            "out; of {things} in training and test, the test keeps its own.",
            things=things,
        )
    return say(
        "Such {things} count twice when the model learns or is measured. Take the copies out; the best one stays.",
        things=things,
    )


def _classes_and_splits(dataset: Dataset, rows: Iterable[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes and splits of some rows, by name."""
    row_list = list(rows)
    labels, splits = sorted(set(dataset.labels[row_list])), sorted(set(dataset.splits[row_list]))
    return tuple(dataset.classes[label] for label in labels), tuple(SPLITS[split] for split in splits)


# ---------------------------------------------------------------- which are the same


def _group_equal_files(hashes: np.ndarray) -> list[Group]:
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, content in enumerate(hashes):
        rows_of[content].append(row)
    return [tuple(rows) for rows in rows_of.values() if len(rows) > 1]


def _first_row_per_hash(hashes: np.ndarray) -> np.ndarray:
    return np.sort(np.unique(hashes.astype(str), return_index=True)[1])


def _find_near_links(dataset_pass: DatasetPass, rows: np.ndarray, progress: ProgressCallback) -> np.ndarray:
    """Links (k, 2) between different files that show one picture: alike as thumbnails, and still alike in detail.

    What hangs together is linked as a whole, not pair by pair: where all films are alike, pairs fill the memory.
    """
    thumbnails = _thumbnail_patterns(dataset_pass, rows, sub_progress(progress, 0, 3))
    has_match = _has_match(thumbnails, sub_progress(progress, 1, 3))
    if not has_match.any():
        return _group_links([])
    threshold = _similarity_threshold(dataset_pass, rows)
    rows, thumbnails = rows[has_match], thumbnails[has_match]

    @lru_cache(_N_CACHED_BLOCKS)
    def details(start: int) -> np.ndarray:
        return _detail_patterns(dataset_pass, rows[start : start + _BLOCK_SIZE]).astype(np.float16)

    links = _group_links([])
    for left_start, right_start in iterate_with_progress(_block_pairs(len(rows)), sub_progress(progress, 2, 3)):
        i, j = _match_blocks(thumbnails, left_start, right_start)
        if len(i):
            is_same = np.abs(_correlate_pairs(details(left_start), details(right_start), i, j)) >= threshold
            new_links = np.stack([rows[left_start + i[is_same]], rows[right_start + j[is_same]]], axis=1)
            links = _group_links(_connected_groups(np.concatenate([links, new_links])))
    return links


def _thumbnail_patterns(dataset_pass: DatasetPass, rows: np.ndarray, progress: ProgressCallback) -> np.ndarray:
    """The structure of the thumbnails of some rows, float32 (n, 1024)."""
    thumbnails = dataset_pass.thumbnails_at(32)[rows]
    blocks = iterate_with_progress(range(0, len(rows), _BLOCK_SIZE), progress)
    return np.stack(
        [
            normalise_local_contrast(thumbnail, 3).ravel()
            for start in blocks
            for thumbnail in thumbnails[start : start + _BLOCK_SIZE]
        ]
    )


def _detail_patterns(dataset_pass: DatasetPass, rows: np.ndarray) -> np.ndarray:
    """The fine structure of some rows, float32 (n, 16384)."""
    return np.stack(
        [
            normalise_local_contrast(resize_image(dataset_pass.dataset.images([row])[0], _DETAIL_SIDE), 4).ravel()
            for row in rows
        ]
    )


def _has_match(patterns: np.ndarray, progress: ProgressCallback) -> np.ndarray:
    """Which films look like another one as thumbnails, bool (n,)."""
    has_match = np.zeros(len(patterns), bool)
    for left_start, right_start in iterate_with_progress(_block_pairs(len(patterns)), progress):
        i, j = _match_blocks(patterns, left_start, right_start)
        has_match[left_start + i] = has_match[right_start + j] = True
    return has_match


def _match_blocks(patterns: np.ndarray, left_start: int, right_start: int) -> tuple[np.ndarray, np.ndarray]:
    """The films of two blocks that are alike as thumbnails, as places in them, int64 (k,) each; every pair once."""
    is_match = (
        np.abs(patterns[left_start : left_start + _BLOCK_SIZE] @ patterns[right_start : right_start + _BLOCK_SIZE].T)
        >= COARSE_CORRELATION
    )  # an inverted one: −1
    i, j = np.nonzero(np.triu(is_match, 1) if left_start == right_start else is_match)
    return i, j


def _correlate_pairs(left_patterns: np.ndarray, right_patterns: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """The correlations of the structures at places `i` of one block with those at `j` of another, float32 (k,)."""
    (left, i), (right, j) = np.unique(i, return_inverse=True), np.unique(j, return_inverse=True)
    return (left_patterns[left].astype(np.float32) @ right_patterns[right].astype(np.float32).T)[i, j]


def _block_pairs(n: int) -> list[tuple[int, int]]:
    """The first rows of every two blocks of `n` films, one not after the other.

    In such an order that one that is met again is mostly still kept, however many there are.
    """
    starts = range(0, n, _BLOCK_SIZE)
    cached_groups = [
        starts[first : first + _N_CACHED_BLOCKS - 1] for first in range(0, len(starts), _N_CACHED_BLOCKS - 1)
    ]
    return [
        (one, other)
        for ones in cached_groups
        for other in range(ones[0], n, _BLOCK_SIZE)
        for one in ones
        if one <= other
    ]


def _similarity_threshold(dataset_pass: DatasetPass, rows: np.ndarray) -> float:
    """The correlation at 128 pixels from which two films of this set are one picture."""
    if len(rows) < 3:
        return FINE_CORRELATION
    sample = np.random.default_rng(0).permutation(rows)[:_N_SAMPLED]
    patterns = _detail_patterns(dataset_pass, sample)
    correlations = (patterns @ patterns.T)[np.triu_indices(len(sample), 1)]
    median = float(np.median(correlations))  # copies among them must not count
    spread = 1.4826 * float(np.median(np.abs(correlations - median)))
    return float(np.clip(median + MAD_FACTOR * spread, FINE_CORRELATION, MAX_CORRELATION))


def normalise_local_contrast(image: np.ndarray, sigma: float) -> np.ndarray:
    """The fine structure of a picture (H, W), float32 of length 1: its contrast evened out within `reach` pixels.

    Each value less its neighbourhood's mean, divided by its neighbourhood's spread (local contrast normalisation,
    Jarrett et al., ICCV 2009). So brightness, contrast and gamma hardly matter. A blank picture has no structure: 0.
    """
    import cv2

    values = image.astype(np.float32)
    centred = values - cv2.GaussianBlur(values, (0, 0), sigma)
    normalised = centred / np.sqrt(
        cv2.GaussianBlur(centred * centred, (0, 0), sigma) + 4
    )  # 4: noise of two grey values counts little
    normalised -= normalised.mean()
    return normalised / max(float(np.linalg.norm(normalised)), 1e-6)


def _group_links(groups: Iterable[Group]) -> np.ndarray:
    """Rows to be joined: the first of each group with each of its others, int64 (k, 2)."""
    return np.array([(group[0], row) for group in groups for row in group[1:]], np.int64).reshape(-1, 2)


def _connected_groups(links: np.ndarray) -> list[Group]:
    """Groups of rows that hang together by links (k, 2), each ascending, in order of their first."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(links):
        return []
    nodes, ends = np.unique(links, return_inverse=True)
    ends = ends.reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(nodes), len(nodes)))
    _, component = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = defaultdict(list)
    for node, number in zip(nodes.tolist(), component.tolist(), strict=True):
        groups[number].append(node)
    return [tuple(rows) for rows in groups.values()]
