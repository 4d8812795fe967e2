"""The folder of a study: whether it belongs to a configuration, and the record of the one that made it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sensei.core.errors import SenseiError
from sensei.core.files import write_text
from sensei.core.provenance import write_manifests
from sensei.core.verification import MANIFEST, verified
from sensei.study.load import dump_study, read_study
from sensei.study.models.study import Study
from sensei.study.slices import settled


def check_folder(study: Study, path: str | Path, source: str) -> None:
    """Refuse to mix two configurations in one results folder.

    More (or fewer) seeds, environments, methods, annotators and figures are welcome; what both configurations name must be the same.

    Args:
        study: what is asked for.
        path: the `study.yaml` of the folder; it need not exist.
        source: what the message calls the file behind `study`.

    Raises:
        SenseiError: something that the folder was made with has another value now, or the file is damaged.
    """
    if not Path(path).exists():
        return
    verified(Path(path), recorded=False)
    changes = list(_changes(_shared(read_study(path), study), _shared(study, read_study(path))))
    if changes:
        key, old, new = changes[0]
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        raise SenseiError(
            f"{path} was made by another configuration: `{key}`{more}",
            found=old,
            expected=f"{new} as in {source}",
            hint=f"give `study:` another name, or delete {path} to adopt the change and make again what depends on it",
        )


def _shared(study: Study, other: Study) -> dict[str, Any]:
    """The part of `study` that `other` names too."""
    methods = [name for name in study.methods if name in other.methods]
    return settled(
        {
            "collector": study.collector,
            "settings": {name: study.settings[name].model_dump(mode="json") for name in study.settings if name in other.settings},
            "relabelled after": {name: study.generation_ends(name)[:-1] for name in study.settings if name in other.settings},
            "methods": {name: study.methods[name].model_dump(mode="json") for name in methods},
            "annotator of": {
                name: {
                    environment: study.annotator_of(name, environment) for environment in study.settings if environment in other.settings
                }
                for name in methods
                if study.methods[name].needs_reward_model
            },
            "annotators": {
                name: value.model_dump(mode="json") for name, value in study.annotator_settings.items() if name in other.annotator_settings
            },
        }
    )


def _changes(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(key, old, new) of every leaf that differs between two nested mappings of the same study."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _changes(old.get(name), new.get(name), f"{key}.{name}" if key else name)
    elif old != new:
        yield key, old, new


def record_study(study: Study, path: str | Path) -> None:
    """Write the resolved study with its manifest, unless the file holds it already (a newer date would mean a change)."""
    path, text = Path(path), dump_study(study)
    manifest = Path(f"{path}{MANIFEST}")
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        manifest.unlink(missing_ok=True)  # that of another study, should this process be killed before the next one is written
        write_text(path, text)
    if not manifest.exists():
        write_manifests("study", [path], {}, {}, None, 0.0)
