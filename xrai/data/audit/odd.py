"""Films unlike the others: inverted, turned, or something else altogether."""

from __future__ import annotations

from collections import Counter

import numpy as np

from xrai.core.language import N_, join_messages, say
from xrai.data.audit.films import LEAST_CONTRAST
from xrai.data.audit.findings import Finding, films
from xrai.data.audit.guessing import predicted
from xrai.data.audit.looking import Look, Tell, told

KIND = "odd-films"
FEWEST = 40
"""Scans from which a set knows what is usual in it."""

SURE = 0.7
"""Probability from which a film is said to be inverted or turned."""

FAR = 8.0
"""Spreads of the logarithm of the distance beyond the middle film from which one is unlike the others."""

_FOLDS = 3
_LEARNED = 600
_COMPONENTS = 20
_INVERTED, _TURNED, _UNLIKE = N_("inverted"), N_("turned"), N_("unlike the others")
_WAYS = ("upright", _INVERTED, _TURNED, _TURNED, _TURNED)


def odd_films(look: Look, tell: Tell) -> list[Finding]:
    """The films that others, changed on purpose, show to be changed, or that are far from all others.

    Each is judged by what was learned from other patients. Blank films are found elsewhere.
    """
    usable = np.flatnonzero(look.contrast >= LEAST_CONTRAST)
    if len(usable) < FEWEST:
        sentence = say(
            "With {films} it cannot be said what is usual, so odd ones were not sought.", films=films(len(usable))
        )
        return [
            Finding(KIND, "notable", say("Odd films not sought"), sentence, say("Look through the films yourself."))
        ]
    reasons = _reasons(look, usable, tell)
    if not reasons:
        return [Finding(KIND, "fine", say("No odd films"), say("No film looks inverted, turned or unlike all others."))]
    return [_finding(reasons)]


def _finding(reasons: dict[int, str]) -> Finding:
    counts = Counter(reasons.values())
    listed = _listed(counts)
    groups = tuple(tuple(row for row, why in reasons.items() if why == reason) for reason in counts)
    return Finding(
        KIND,
        "notable",
        say("Odd films"),
        say("1 film looks odd: {listed}.", listed=listed)
        if len(reasons) == 1
        else say("{len:,} films look odd: {listed}.", len=len(reasons), listed=listed),
        say("Look at them: an inverted or turned film should be exported again; a rare patient should stay."),
        {"scans": len(reasons), "reasons": dict(counts)},
        groups,
    )


def _listed(counts: Counter[str]) -> str:
    """Such as “2 turned, 1 inverted”."""
    words: dict[str, str] = {
        _INVERTED: say("{counts:,} inverted", counts=counts[_INVERTED]),
        _TURNED: say("{counts:,} turned", counts=counts[_TURNED]),
        _UNLIKE: say("{counts:,} unlike the others", counts=counts[_UNLIKE]),
    }
    return join_messages((words[reason] for reason in counts), ", ")


def _reasons(look: Look, rows: np.ndarray, tell: Tell) -> dict[int, str]:
    """Why each odd film is odd: “inverted”, “turned” or “unlike the others”."""
    from xrai.scans.descriptor import looks

    numbers = looks(look.thumbnails[rows])  # (n, D)
    names, who = np.unique(look.dataset.patients[rows].astype(str), return_inverse=True)
    fold = (np.random.default_rng(0).permutation(len(names)) % _FOLDS)[who]
    reasons: dict[int, str] = {}
    for held_out in told(range(_FOLDS), tell):
        known, new = np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)
        if len(known) < 2 or not len(new):
            continue
        known = np.random.default_rng(0).permutation(known)[:_LEARNED]
        far = _is_far(numbers[known], numbers[new])
        shares = _ways(look.thumbnails[rows[known]], numbers[new])  # (n, 5)
        for place, unlike, share in zip(new, far, shares, strict=True):
            if (way := int(share.argmax())) and share[way] >= SURE:
                reasons[int(rows[place])] = _WAYS[way]
            elif unlike:
                reasons[int(rows[place])] = _UNLIKE
    return dict(sorted(reasons.items()))


def _ways(known: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Probabilities (n, 5) of each of `_WAYS`, learned from thumbnails changed in each."""
    from xrai.scans.descriptor import looks

    changed = [known, 255 - known, *(np.rot90(known, turns, axes=(1, 2)) for turns in (1, 2, 3))]
    kinds = np.repeat(np.arange(len(changed)), len(known))
    return predicted(looks(np.ascontiguousarray(np.concatenate(changed))), kinds, numbers, len(changed))


def _is_far(known: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Whether each of `new` (n, D) lies far from what is known: beyond its leading components, bool (n,)."""
    from sklearn.decomposition import PCA

    components = PCA(min(_COMPONENTS, len(known) - 1), svd_solver="randomized", random_state=0).fit(known)
    left_over = new - components.inverse_transform(components.transform(new))
    distance = np.log((left_over**2).sum(axis=1) + 1e-12)
    middle = np.median(distance)
    return distance > middle + FAR * 1.4826 * np.median(np.abs(distance - middle))
