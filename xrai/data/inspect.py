"""A look at a source before anything is built: what is there, how it is made, and some examples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xrai.core.errors import ScanError, SourceError, system_reason
from xrai.core.language import say
from xrai.data.sources import Entry, Source, parse_patient_id
from xrai.scans import read_scan
from xrai.scans.preprocessing import to_square

N_SAMPLED = 12
"""Files of each class that are opened; the counts are of all."""

N_EXAMPLES = 4
THUMBNAIL_SIDE = 160


@dataclass(frozen=True)
class SourceInspection:
    """What was found.

    Attributes:
        name: of the source.
        counts: {class: {split: files}}; split is "all" where the folders do not tell it.
        n_sampled: files that were opened.
        formats: how many of those are of which format and mode, such as {"JPEG, L": 24}.
        smallest, largest: width and height of those with the fewest and the most pixels; None if none could be read.
        patients_known: whether the names of most of those tell the patient.
        unreadable: file and reason of those that could not be read.
        examples: {class: squares uint8 (THUMBNAIL, THUMBNAIL)}.
    """

    name: str
    counts: dict[str, dict[str, int]]
    n_sampled: int
    formats: dict[str, int]
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None
    patients_known: bool
    unreadable: list[tuple[str, str]]
    notes: tuple[str, ...]
    population: str
    licence: str
    drawings: bool
    examples: dict[str, list[np.ndarray]] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the examples, JSON-able."""
        return {name: value for name, value in self.__dict__.items() if name != "examples"}


def inspect_source(source: Source) -> SourceInspection:
    """Look at a source: count all files, open `SAMPLED` of each class, spread evenly."""
    formats: Counter[str] = Counter()
    sizes: list[tuple[int, int]] = []
    unreadable: list[tuple[str, str]] = []
    examples: dict[str, list[np.ndarray]] = {name: [] for name in source.classes}
    n_with_patient = 0
    sampled_entries = [entry for name in source.classes for entry in _sample_entries(source, name)]
    for entry in sampled_entries:
        try:
            scan = read_scan(source.read(entry), min_side=THUMBNAIL_SIDE)
        except (ScanError, SourceError) as error:
            unreadable.append((entry.path, error.message))
            continue
        except OSError as error:
            unreadable.append((entry.path, say("The file cannot be read ({strerror}).", strerror=system_reason(error))))
            continue
        formats[f"{scan.format}, {scan.mode}"] += 1
        sizes.append((scan.width, scan.height))
        n_with_patient += bool(scan.patient or parse_patient_id(entry.path, entry.split))
        if len(examples[entry.class_name]) < N_EXAMPLES:
            examples[entry.class_name].append(to_square(scan.pixels, THUMBNAIL_SIDE))
    sizes_by_area = sorted(sizes, key=lambda size: size[0] * size[1])
    return SourceInspection(
        name=source.name,
        counts=source.counts(),
        n_sampled=len(sampled_entries),
        formats=dict(formats.most_common()),
        smallest=sizes_by_area[0] if sizes_by_area else None,
        largest=sizes_by_area[-1] if sizes_by_area else None,
        patients_known=n_with_patient > len(sizes) / 2,
        unreadable=unreadable,
        notes=source.notes,
        population=source.population,
        licence=source.licence,
        drawings=source.is_phantom,
        examples=examples,
    )


def _sample_entries(source: Source, class_name: str) -> list[Entry]:
    entries = [entry for entry in source.entries if entry.class_name == class_name]
    return [entries[i] for i in np.linspace(0, len(entries) - 1, min(len(entries), N_SAMPLED)).astype(int)]
