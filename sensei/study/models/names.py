"""Names in a study. They become folders, wildcards and words of shell commands, so that one rule holds for all of them."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from sensei.core.errors import SenseiError
from sensei.core.plugins import stated

LONGEST = 100  # letters; with what is put before and behind it, below the 255 bytes that file systems allow
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"  # not `.`, `..` or `-x`, and nothing that a shell or a path takes for something else
PLUGIN = rf"{NAME}|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text, re.ASCII) or len(text) > LONGEST:
        raise ValueError(f"a name has up to {LONGEST} letters, digits and . _ -, and begins with a letter or a digit")
    return text


def _plugin(text: str) -> str:
    if not re.fullmatch(PLUGIN, text, re.ASCII) or len(text) > 2 * LONGEST:
        raise ValueError("give a name (letters, digits and . _ -) or package.module:Class")
    return text


def known(room: str, base: str, what: str) -> AfterValidator:
    """A validator that such a plugin exists (`sensei.core.plugins.stated`)."""

    def validate(name: str) -> str:
        try:
            stated(name, room, base, what)
        except SenseiError as error:
            raise ValueError(str(error)) from error
        return name

    return AfterValidator(validate)


Name = Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": f"^{NAME}$"})]
Plugin = Annotated[str, AfterValidator(_plugin), Field(json_schema_extra={"pattern": f"^({PLUGIN})$"})]
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")]  # one line for people
File = Annotated[str, Field(min_length=1, max_length=4000, pattern=r"^[^\x00-\x1f{}]*$")]  # braces would be Snakemake's wildcards
