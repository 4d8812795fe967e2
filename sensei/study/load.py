"""From a study file to a `Study`.

Values come from three layers, the later ones win: the defaults of `study.models` (the constants every experiment of the paper shares,
Appendix B), `config/envs/{environment}.yaml` (what the paper sets for one environment) and the study file (what this study
changes). Methods and annotators are files of their own: `config/methods/`, `config/annotators/`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sensei.core.errors import SenseiError, about
from sensei.core.messages import validate
from sensei.core.plugins import module_of
from sensei.core.yaml import dump_yaml, read_yaml, typed
from sensei.envs.registry import checked, family
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.models.annotators import AnnotatorOptions, annotator_options
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.exploration import AGENTS, Method
from sensei.study.models.file import SETTINGS_KEYS, EnvironmentChanges, StudyFile
from sensei.study.models.study import Settings, Study
from sensei.study.slices import figures_of
from sensei.study.stage import own_stage


def _read(path: Path, folder: Path) -> dict[str, Any]:
    """A study file; for one that is not there, the names of those that are."""
    if not path.exists():
        known = ", ".join(str(file.relative_to(folder).with_suffix("")) for file in _studies(folder))
        raise SenseiError(f"there is no study {path}", expected=f"one of {known}", hint="or name a file of your own, with its folder")
    return read_yaml(path)


def _studies(folder: Path) -> list[Path]:
    """The study files that come with the checkout."""
    return [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("ablations/*.yaml"))]


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


def read_layers(files: Iterable[str | Path], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Study files, each laid over the one before it, and `changes` over all: what Snakemake makes of its options, by our own reader.

    Args:
        changes: of the option `--config`, in which Snakemake leaves numbers inside of lists and mappings text.

    Raises:
        SenseiError: a file is not YAML as we read it.
    """
    content: dict[str, Any] = {}
    for file in files:
        content = merge(content, read_yaml(file))
    return merge(content, typed(changes))


def load_study(content: dict[str, Any] | str | Path, source: str | None = None, folder: Path = CONFIG_FOLDER) -> Study:
    """Validate a study file (or its content, as Snakemake hands it over) and resolve all that it names.

    Args:
        content: path of a study file, or its content; that of a resolved study is taken as it is.
        source: what error messages call it; by default the path.
        folder: where `envs/`, `methods/` and `annotators/` are.

    Raises:
        SenseiError: one line that names file, key and remedy.
    """
    if not isinstance(content, dict):
        source, content = source or str(content), _read(Path(content), folder)
    source = source or "the study"
    study = validate(Study, content, source) if "settings" in content else _resolved(content, source, folder)
    with about(f"{source}: `stages`"):
        for name in study.stages:
            own_stage(name)
    with about(f"{source}: `figures`"):
        for figure in figures_of(study).values():
            figure.check(study)
    return study


def _resolved(content: dict[str, Any], source: str, folder: Path) -> Study:
    """The study of a study file, with all that it names."""
    file, left_out = _without_what_is_not_here(validate(StudyFile, content, source), source, folder)
    own = {name: changes for name, changes in file.per_environment.items() if name in file.environments}
    axes = {key: getattr(file, key) for key in StudyFile.model_fields if key not in (*SETTINGS_KEYS, "per_environment")}
    axes["environment_annotators"] = {name: changes.annotators for name, changes in own.items() if changes.annotators}
    axes["environment_seeds"] = {name: changes.seeds for name, changes in own.items() if changes.seeds}
    methods = _methods(file, source, folder)
    named = {
        "left_out": left_out,
        "settings": _settings(file, source, folder),
        "methods": methods,
        "annotator_settings": _annotators(axes, methods, source, folder),
    }
    return validate(Study, {**axes, **named}, source)


def _without_what_is_not_here(file: StudyFile, source: str, folder: Path) -> tuple[StudyFile, dict[str, str]]:
    """The study without environments for which users have to bring something that is not here, and environment -> what that is.

    Raises:
        SenseiError: no environment is left, or one has no file.
    """
    left_out = {}
    for name in file.environments:
        given = _named_file("envs", name, folder, source, "environments")
        environment = given.get("environment")
        if isinstance(environment, dict) and isinstance(environment.get("family"), str):
            config = EnvironmentConfig.model_construct(family=environment["family"])
            with about(f"config/envs/{name}.yaml"):
                reason = family(config).lacking()
            if reason:
                left_out[name] = reason
    kept = [name for name in file.environments if name not in left_out]
    if file.environments and not kept:
        name, reason = next(iter(left_out.items()))
        raise SenseiError(f"{source}: no environment is left to run: {name} has {reason}")
    return file.model_copy(update={"environments": kept}), left_out


def _settings(file: StudyFile, source: str, folder: Path) -> dict[str, Settings]:
    """Environment -> its file, with the changes of the study to all environments and to it alone laid over it."""
    for name in file.per_environment:  # may name environments that this study leaves out, but none that there is not
        _named_file("envs", name, folder, source, "per_environment")
    changes = {key: getattr(file, key) for key in SETTINGS_KEYS}
    settings = {}
    for name in file.environments:
        given, where = _named_file("envs", name, folder, source, "environments"), f"config/envs/{name}.yaml"
        checked(validate(Settings, given, where).environment, where)
        own = file.per_environment.get(name, EnvironmentChanges()).model_dump(exclude={"seeds", "annotators"})
        parts = validate(Settings, merge(merge(given, changes), own), source)
        settings[name] = parts.model_copy(update={"environment": checked(parts.environment, source)})
    return settings


def _methods(file: StudyFile, source: str, folder: Path) -> dict[str, Method]:
    """Name -> method, of all axes that name methods."""
    methods = {}
    for axis, names in (("explore", file.explore), ("learn", file.learn), ("collector", [file.collector])):
        for name in names:
            where = f"config/methods/{name}.yaml"
            method = validate(Method, _named_file("methods", name, folder, source, axis), where)
            with about(where):
                module_of(method.algorithm, *AGENTS)
            methods[name] = method
    return methods


def _annotators(axes: dict[str, Any], methods: dict[str, Method], source: str, folder: Path) -> dict[str, AnnotatorOptions]:
    """Name -> options, of all annotators that the axes or a method name."""
    own = (name for names in axes["environment_annotators"].values() for name in names)
    wanted = dict.fromkeys([*axes["annotators"], *own, *(method.annotator for method in methods.values() if method.annotator)])
    return {
        name: annotator_options(_named_file("annotators", name, folder, source, "annotators"), f"config/annotators/{name}.yaml")
        for name in wanted
    }


def dump_study(study: Study) -> str:
    """The resolved study as YAML, from which `read_study` makes an equal one."""
    return dump_yaml(study.model_dump(mode="json"))


def read_study(path: str | Path) -> Study:
    """Read a resolved study (`results/{study}/study.yaml`)."""
    return validate(Study, read_yaml(path), str(path))
