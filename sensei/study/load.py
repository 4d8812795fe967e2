"""From a study file to a `Study`.

Values come from three layers, the later ones win: the defaults of `study.models` (the constants every experiment of the paper shares,
Appendix B), `config/envs/{environment}.yaml` (what the paper sets for one environment) and the study file (what this study
changes). Methods and annotators are files of their own: `config/methods/`, `config/annotators/`.
"""

from pathlib import Path
from typing import Any

import yaml

from sensei.core.errors import SenseiError
from sensei.core.messages import validate
from sensei.core.yaml import read_yaml
from sensei.envs.registry import checked
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.models.annotators import annotator_options
from sensei.study.models.exploration import Method
from sensei.study.models.file import SETTINGS_KEYS, EnvironmentChanges, StudyFile
from sensei.study.models.study import Settings, Study


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it: mappings unite, everything else replaces."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _named_file(kind: str, name: str, folder: Path, source: str, key: str) -> dict[str, Any]:
    path = folder / kind / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in (folder / kind).glob("*.yaml")))
        raise SenseiError(f"{source}: `{key}` names {name!r}, which has no file config/{kind}/{name}.yaml", expected=f"one of {known}")
    return read_yaml(path)


def load_study(content: dict[str, Any] | str | Path, source: str | None = None, folder: Path = CONFIG_FOLDER) -> Study:
    """Validate a study file (or its content, as Snakemake hands it over) and resolve all that it names.

    Args:
        content: path of a study file, or its content.
        source: what error messages call it; by default the path.
        folder: where `envs/`, `methods/` and `annotators/` are.

    Raises:
        SenseiError: one line that names file, key and remedy.
    """
    if not isinstance(content, dict):
        source, content = source or str(content), read_yaml(content)
    source = source or "the study"
    file = validate(StudyFile, content, source)
    changes = {key: getattr(file, key) for key in SETTINGS_KEYS}
    for name in file.per_environment:  # may name environments that this study leaves out, but none that there is not
        _named_file("envs", name, folder, source, "per_environment")
    settings = {}
    for name in file.environments:
        given = _named_file("envs", name, folder, source, "environments")
        validate(Settings, given, f"config/envs/{name}.yaml")
        own = file.per_environment.get(name, EnvironmentChanges()).model_dump(exclude={"seeds", "annotators"})
        resolved = validate(Settings, merge(merge(given, changes), own), source)
        settings[name] = resolved.model_copy(update={"environment": checked(resolved.environment, source)})
    methods = {}
    for axis in ("explore", "learn", "collector"):
        names = getattr(file, axis)
        for name in [names] if isinstance(names, str) else names:
            methods[name] = validate(Method, _named_file("methods", name, folder, source, axis), f"config/methods/{name}.yaml")
    own_annotators = {name: own.annotators for name, own in file.per_environment.items() if own.annotators and name in file.environments}
    named = [*file.annotators, *(name for names in own_annotators.values() for name in names)]
    wanted = dict.fromkeys([*named, *(m.annotator for m in methods.values() if m.annotator)])
    annotators = {
        name: annotator_options(_named_file("annotators", name, folder, source, "annotators"), f"config/annotators/{name}.yaml")
        for name in wanted
    }
    axes = {key: getattr(file, key) for key in StudyFile.model_fields if key not in (*SETTINGS_KEYS, "per_environment")}
    axes["environment_annotators"] = own_annotators
    axes["environment_seeds"] = {name: own.seeds for name, own in file.per_environment.items() if own.seeds and name in file.environments}
    return validate(Study, {**axes, "settings": settings, "methods": methods, "annotator_settings": annotators}, source)


def dump_study(study: Study) -> str:
    """The resolved study as YAML, from which `read_study` makes an equal one."""
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False)


def read_study(path: str | Path) -> Study:
    """Read a resolved study (`results/{study}/study.yaml`)."""
    return validate(Study, read_yaml(path), str(path))
