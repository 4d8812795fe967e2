"""What every section has in common."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

MOST = 1000  # names or seeds along one axis: Snakemake plans every combination of the axes


class Section(BaseModel):
    """A frozen part of the configuration that refuses unknown keys and values of another type, such as the text "1" for a number.

    A field whose type YAML does not have (a tuple, a path) says `strict=False`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def distinct(key: str, values: Sequence[object]) -> None:
    """Refuse a list that names something twice; for validators, hence the ValueError."""
    if repeated := [value for value in values if values.count(value) > 1]:
        raise ValueError(f"`{key}` names {repeated[0]} twice; name each once")
