"""The JSON schema of study files, for editors."""

import json

from sensei.study.models.file import SETTINGS_KEYS, StudyFile
from sensei.study.models.study import Settings


def json_schema() -> str:
    """The content of `config/schema.json`: the study file, its sections spelled out, for editors."""
    schema = StudyFile.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    own = definitions["EnvironmentChanges"]["properties"]
    for key, field in Settings.model_fields.items():
        part = field.annotation.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(part.pop("$defs", {}))
        own[key] = part | {"required": []}  # what is not named there is in the environment's file
        if key in SETTINGS_KEYS:
            schema["properties"][key] = part
    return json.dumps(schema, indent=2) + "\n"
