"""Rows of the trust benchmark on the input check: which images are refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.trust_table import Bench, Row, counted
from xrai.core.errors import ScanError
from xrai.core.language import N_, say
from xrai.input_check import InputCheck
from xrai.scans import Scan, read_scan


def refusal_rows(bench: Bench, details: dict[str, Any]) -> Iterator[Row]:
    """Which pictures are refused or offered mended."""
    gate = bench.reader.artifacts.input_check
    assert gate is not None
    squares = bench.dataset.images(bench.dataset.rows("test"))
    verdicts = [gate.check(square) for square in squares]
    refused = sum(not item.is_accepted for item in verdicts)
    details["refusals"] = counts_by_kind = {"test films": [len(squares), refused]}
    yield Row(say("Test films refused"), counted(refused, len(squares)), say("at most 0.5 %"))
    collected_images = list(read_samples(bench.scans / "samples" / "not_frontal_chest"))
    synthetic = list(synthetic_images(squares))
    for source, pictures in ((N_("collected"), collected_images), (N_("made"), synthetic)):
        for kind in dict.fromkeys(kind for kind, _ in pictures):
            refusal_flags = [is_refused(gate, scan) for name, scan in pictures if name == kind]
            counts_by_kind[kind] = [len(refusal_flags), sum(refusal_flags)]
            yield Row(
                say("Refused: {kind} ({how})", kind=kind, how=source), counted(sum(refusal_flags), len(refusal_flags))
            )
        n, hits = (sum(counts_by_kind[kind][i] for kind in {kind for kind, _ in pictures}) for i in (0, 1))
        yield Row(say("Refused: all that were {how}", how=source), counted(hits, n), say("at least 99.5 %"))
    for kind, change, correction in WRONG_ORIENTATIONS:
        corrected_verdicts = [gate.check(np.ascontiguousarray(change(square))) for square in squares]
        right = sum(item.correction == correction for item in corrected_verdicts)
        wrong = sum(item.correction is not None and item.correction != correction for item in corrected_verdicts)
        missed = sum(item.is_accepted for item in corrected_verdicts)
        counts_by_kind[kind] = [len(corrected_verdicts), right, wrong, missed]
        yield Row(
            say("Test films {kind}, offered mended", kind=kind),
            say(
                "{counted} rightly, {wrong} wrongly; {missed} read as they are",
                counted=counted(right, len(corrected_verdicts)),
                wrong=wrong,
                missed=missed,
            ),
        )
    dicom_files = sorted((bench.scans / "samples" / "dicom_chest").glob("*.dcm"))
    accepted = sum(gate.check(read_scan(file).pixels).is_accepted for file in dicom_files)
    yield Row(
        say("DICOM films of adults accepted"), say("{accepted} of {len}", accepted=accepted, len=len(dicom_files))
    )
    started_at = time.perf_counter()
    large = np.kron(squares[0], np.ones((4, 4), np.uint8))
    for _ in range(20):
        gate.check(large)
    yield Row(say("Time for one judgement"), say("{x:.1f} ms", x=(time.perf_counter() - started_at) / 20 * 1000))


WRONG_ORIENTATIONS: tuple[tuple[str, Callable[[np.ndarray], np.ndarray], str], ...] = (
    (N_("inverted"), lambda square: 255 - square, "inverted"),
    (N_("turned a quarter to the right"), lambda square: np.rot90(square, -1), N_("turned 90° left")),
    (N_("turned a quarter to the left"), np.rot90, N_("turned 90° right")),
    (N_("upside down"), lambda square: np.rot90(square, 2), N_("turned 180°")),
)


def is_refused(gate: InputCheck, scan: Scan | None) -> bool:
    """Whether a picture is refused; one that cannot even be read is."""
    return scan is None or not gate.check(scan.pixels, colour=scan.colour).is_accepted


COLLECTED = (N_("bone xray"), N_("ct"), N_("cxr lateral"), N_("documents"), N_("photos"), N_("screenshots figures"))
"""The folders of pictures of other things, in words."""


def read_samples(folder: Path) -> Iterator[tuple[str, Scan | None]]:
    """The pictures of other things that were collected, each with its kind."""
    for file in sorted(folder.glob("*/*")):
        try:
            yield file.parent.name.replace("_", " "), read_scan(file)
        except ScanError:
            yield file.parent.name.replace("_", " "), None


def synthetic_images(squares: np.ndarray) -> Iterator[tuple[str, Scan]]:
    """Other pictures, made here from chance and from films that the gate has not learned from."""
    rng = np.random.default_rng(2026)
    size = squares.shape[1]
    half, third = size // 2, size // 3
    for square in squares[:: max(1, len(squares) // 100)]:
        tiles = [square[i : i + half, j : j + half] for i in (0, half) for j in (0, half)]
        yield say("films cut in four and shuffled"), make_scan(_shuffle_tiles(tiles, rng))
        yield say("films, a ninth of the picture"), make_scan(square[third : 2 * third, third : 2 * third])
        yield N_("noise"), make_scan(rng.integers(0, 256, (size, size)))
        ramp = np.linspace(0, 255, size)
        ramps = np.add.outer(rng.random() * ramp, rng.random() * ramp[:: rng.choice([-1, 1])]) / 2
        yield N_("ramps"), make_scan(ramps)
        yield say("one grey"), make_scan(np.full((size, size), rng.integers(256)))
        yield N_("checkerboards"), make_scan(np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((size // 8,) * 2)) * 255)


def make_scan(pixels: np.ndarray) -> Scan:
    """A picture as the gate gets it."""
    image = np.ascontiguousarray(pixels.clip(0, 255).astype(np.uint8))
    return Scan(image, "", "PNG", "L", image.shape[1], image.shape[0], image.nbytes)


def _shuffle_tiles(tiles: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    orders = [[1, 2, 3, 0], [2, 3, 0, 1], [3, 2, 1, 0], [2, 0, 3, 1]]
    a, b, c, d = (tiles[i] for i in orders[rng.integers(4)])
    return np.block([[a, b], [c, d]])
