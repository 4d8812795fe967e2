"""What every section has in common."""

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

MOST = 1000  # names or seeds along one axis: Snakemake plans every combination of the axes


class Section(BaseModel):
    """A frozen part of the configuration that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _a_word_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `true` and `false` for numbers, which pydantic takes for 1 and 0."""
        annotation = cls.model_fields[info.field_name].annotation
        if isinstance(value, bool) and float in (annotation, *get_args(annotation)):
            raise PydanticCustomError("no_number", "Input should be a number")
        return value


def distinct(key: str, values: Sequence[object]) -> None:
    """Refuse a list that names something twice; for validators, hence the ValueError."""
    if repeated := [value for value in values if values.count(value) > 1]:
        raise ValueError(f"`{key}` names {repeated[0]} twice; name each once")
