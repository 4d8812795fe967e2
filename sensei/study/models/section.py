"""What every section has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen part of the configuration that refuses unknown keys and values of another type, such as the text "1" for a number.

    A field whose type YAML does not have (a tuple, a path) says `strict=False`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
