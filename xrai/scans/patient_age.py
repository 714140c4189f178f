"""A patient's age in years, from the spellings of DICOM's Patient's Age (AS) or from the dates of birth and study."""

from __future__ import annotations

import re
from datetime import date

MAX_AGE = 120
"""Years; dates and ages beyond are placeholders."""

_UNITS_PER_YEAR = {"Y": 1.0, "A": 1.0, "J": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}
"""Year, month, week and day; A and J are the years of French, Spanish, Portuguese and German devices."""

_AGE = re.compile(r"\s*(\d{1,3})\s*([A-Z]?)[A-Z]*\s*")


def parse_age(text: str) -> float | None:
    """The age in years of "045Y", "45Y", "540M", "45 y", "2 weeks" or "45"; None where the text tells none."""
    match = _AGE.fullmatch(text.upper())
    per_year = _UNITS_PER_YEAR.get(match[2] or "Y") if match else None
    if match is None or per_year is None:
        return None
    age = int(match[1]) / per_year
    return age if age <= MAX_AGE else None


def age_between(birth: str, study: str) -> float | None:
    """The age in years at a study, by DICOM dates "YYYYMMDD" or "YYYY.MM.DD"; None where they tell none."""
    first, last = _parse_date(birth), _parse_date(study)
    if first is None or last is None or first > last:
        return None
    age = (last - first).days / 365.25
    return age if age <= MAX_AGE else None


def _parse_date(text: str) -> date | None:
    match = re.match(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})", text.strip())
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None
