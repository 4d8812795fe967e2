"""From what pydantic finds to one line with file, key and remedy."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sensei.core.errors import LONGEST_VALUE, SenseiError, quoted, shortened
from sensei.core.yaml import line_of

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], content: dict[str, Any], source: str, under: tuple[str, ...] = ()) -> Model:
    """Validate; the first fault becomes one line with file, key and remedy.

    Args:
        source: what the message calls the file.
        under: keys below which `content` stands in it.

    Raises:
        SenseiError: that line.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        if line := line_of(source, (*under, *fault["loc"]), fault["input"]):
            source = f"{source}, line {line}"
        place = (*under, *(part for part in fault["loc"] if part != "[key]"))
        key = shortened(".".join(map(str, place)), LONGEST_VALUE) or "(whole file)"
        if fault["type"] == "extra_forbidden":
            known = sorted(_fields_at(model, fault["loc"][:-1]))
            expected = f"one of {', '.join(known)}" if known else "no key there"
            raise SenseiError(f"{source}: unknown key `{key}`", expected=expected, hint="correct or remove it") from error
        if fault["type"] == "value_error":
            about = [f"`{key}`"] if fault["loc"] else []
            about += [quoted(fault["input"])] if isinstance(fault["input"], str) else []
            raise SenseiError(": ".join([source, *about, str(fault["ctx"]["error"])])) from error
        found = None if fault["type"] == "missing" else quoted(fault["input"])
        remedy = f"{fault['msg'][0].lower()}{fault['msg'][1:]}"
        raise SenseiError(f"{source}: `{key}`: {remedy}", found=found, hint=f"set `{key}` in {source}") from error


def _fields_at(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Names of the keys allowed at `location` below `model`."""
    schema: dict[str, Any] = model.model_json_schema()
    node = schema
    for part in location:
        node = node.get("properties", {}).get(part) or node.get("additionalProperties", {}) or node.get("items", {})
        for option in (node, *node.get("anyOf", []), *node.get("oneOf", [])):
            if "$ref" in option:
                node = schema["$defs"][option["$ref"].rsplit("/", 1)[1]]
                break
    return list(node.get("properties", {}))
