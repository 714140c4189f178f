"""Typed records (pydantic): the base class of what is stored in files or passed between packages."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(strict=True, ge=0, lt=2**53)]
"""A whole number from 0 on; no bool, no text."""

Number = Annotated[float, Field(strict=True, gt=-1e300, lt=1e300)]
"""A finite number; no bool, no text."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A share or probability, 0 to 1."""

OpenShare = Annotated[float, Field(gt=0, lt=1)]
"""A share between 0 and 1, both excluded."""

Interval = tuple[float, float]
"""The lower and upper limit of a confidence interval."""


class Record(BaseModel):
    """A frozen record: unknown fields and numbers that are not finite are refused.

    Validation errors are `pydantic.ValidationError`, a ValueError; whoever reads a file turns them into one sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    def replace(self, **changes: Any) -> Self:
        """A copy with other values of some fields, validated.

        Raises:
            ValueError: a value is of another kind.
        """
        return type(self).model_validate(dict(self) | changes)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-able values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """The record read back from JSON-able values.

        Raises:
            ValueError: a field is missing, unknown, or of another kind.
        """
        return cls.model_validate(values)
