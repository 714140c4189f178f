"""Inspect a source before import: counts, formats, examples."""

from __future__ import annotations

from collections import Counter

import numpy as np
from pydantic import ConfigDict, Field

from xrai.core.errors import ScanError, SourceError, system_reason
from xrai.core.language import say
from xrai.core.language.field import MessageField
from xrai.core.records import Record
from xrai.data.dataset import Skipped
from xrai.data.sources import Entry, Source
from xrai.scans import Scan, read_scan
from xrai.scans.preprocessing import to_square

N_SAMPLED = 12
"""Files of each class that are opened; all files are counted."""

N_EXAMPLES = 4
THUMBNAIL_SIDE = 160


class SourceInspection(Record):
    """What a source holds.

    Attributes:
        name: of the source.
        counts: files, {class: {split: n}}; the split is "all" where the folders name none.
        n_sampled: files that were opened.
        formats: how many of those have which format and mode, such as {"JPEG, L": 24}.
        smallest: width and height of the one with the fewest pixels; None if none could be read.
        largest: of the one with the most.
        patients_known: whether most of them identify their patient.
        unreadable: those that could not be read.
        notes: remarks for people.
        population: who is in the scans, in words.
        licence: of the scans, in words.
        drawings: whether the scans are phantoms.
        examples: {class: squares uint8 (THUMBNAIL_SIDE, THUMBNAIL_SIDE)}; not part of `to_dict`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: MessageField
    counts: dict[str, dict[str, int]]
    n_sampled: int
    formats: dict[str, int]
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None
    patients_known: bool
    unreadable: tuple[Skipped, ...]
    notes: tuple[MessageField, ...]
    population: MessageField
    licence: MessageField
    drawings: bool
    examples: dict[str, list[np.ndarray]] = Field(repr=False, exclude=True)


def inspect_source(source: Source) -> SourceInspection:
    """Count all files of a source and open `N_SAMPLED` of each class, spread evenly."""
    formats: Counter[str] = Counter()
    sizes: list[tuple[int, int]] = []
    unreadable: list[Skipped] = []
    examples: dict[str, list[np.ndarray]] = {name: [] for name in source.classes}
    n_with_patient = 0
    sampled_entries = [entry for name in source.classes for entry in _sample_entries(source, name)]
    for entry in sampled_entries:
        scan = _read_scan(source, entry)
        if isinstance(scan, Skipped):
            unreadable.append(scan)
            continue
        formats[f"{scan.format}, {scan.mode}"] += 1
        sizes.append((scan.width, scan.height))
        n_with_patient += bool(scan.patient or entry.patient)
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
        unreadable=tuple(unreadable),
        notes=source.notes,
        population=source.population,
        licence=source.licence,
        drawings=source.is_phantom,
        examples=examples,
    )


def _read_scan(source: Source, entry: Entry) -> Scan | Skipped:
    try:
        return read_scan(source.read(entry), min_side=THUMBNAIL_SIDE)
    except (ScanError, SourceError) as error:
        reason = error.message
    except OSError as error:
        reason = say("The file cannot be read ({strerror}).", strerror=system_reason(error))
    return Skipped(file=entry.path, reason=reason)


def _sample_entries(source: Source, class_name: str) -> list[Entry]:
    entries = [entry for entry in source.entries if entry.class_name == class_name]
    return [entries[i] for i in np.linspace(0, len(entries) - 1, min(len(entries), N_SAMPLED)).astype(int)]
