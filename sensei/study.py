"""What a stage reads of a study and costs in it, and whether a results folder belongs to that study."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sensei.annotators.prompts import load_prompt
from sensei.config import OPERATIONAL, Study, read_study
from sensei.errors import SenseiError

ASKING = ("order", "both_orders", "views")  # how pairs are asked; what else is under `labels` are limits
DRAWN = {"robodesk"}  # families that draw a state again, so that the collector keeps no pictures


def slice_of(study: Study, stage: str, environment: str = "", method: str = "", annotator: str = "") -> dict[str, Any]:
    """The part of `study` that `stage` depends on; a change outside it re-makes nothing of that stage.

    The one list behind the `params:` of the rules and the settings in the manifests.
    """
    if stage in ("tabulate", "figure", "tables", "report"):
        return _settled(study.model_dump(mode="json"))
    settings = _settled(study.settings[environment].model_dump(mode="json"))
    if stage == "pairs":
        return {key: settings["pairs"][key] for key in ("kind", "number", "seeds")} | {"environment": settings["environment"]}
    if stage == "annotate":
        config = _settled(study.annotator_settings[annotator].model_dump(mode="json"))
        prompt = study.prompt_of(annotator, environment)
        return {
            "annotator": config,
            "shards": settings["pairs"]["shards"],
            "prompt": load_prompt(prompt).sha256 if prompt else None,
            "asking": {key: settings["labels"][key] for key in ASKING},
        }
    if stage == "caption-clip":
        asked = slice_of(study, "annotate", environment, annotator=annotator)
        return {"annotator": asked["annotator"], "prompt": asked["prompt"], "environment": settings["environment"]}
    if stage == "labels":
        return {"order": settings["labels"]["order"]}
    if stage == "trust":
        return {key: value for key, value in settings["labels"].items() if key not in ASKING}
    if stage == "distil":
        return {"reward": settings["reward"]}
    if stage == "collect":
        return {}
    assert stage in ("explore", "learn"), stage
    other_steps = ("learn_steps", "ppo_steps", "evaluate_every", "evaluate_episodes") if stage == "explore" else ("explore_steps",)
    part = {key: settings[key] for key in ("environment", "world_model", "ensemble", "behaviour", "training")}
    part["training"] = {key: value for key, value in part["training"].items() if key not in other_steps}
    part |= {"method": study.methods[method].model_dump(mode="json"), "weights": study.weights(environment, method).model_dump(mode="json")}
    if stage == "explore":
        return part | {"episodes_of": settings["pairs"]["seeds"] if method == study.collector else []}
    return part | {"downstream": settings["downstream"]}


def check_folder(study: Study, path: str | Path, source: str) -> None:
    """Refuse to mix two configurations in one results folder.

    More (or fewer) seeds, environments, methods, annotators and figures are welcome; what both configurations name must be the same.

    Args:
        study: what is asked for.
        path: the `study.yaml` of the folder; it need not exist.
        source: what the message calls the file behind `study`.

    Raises:
        SenseiError: something that the folder was made with has another value now.
    """
    if not Path(path).exists():
        return
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


def run_steps(study: Study, stage: str, environment: str, method: str) -> int:
    """Agent steps of a run of stage `explore` or `learn`."""
    training = study.settings[environment].training
    if stage == "explore":
        return training.explore_steps
    return training.ppo_steps or training.learn_steps if study.methods[method].algorithm == "ppo" else training.learn_steps


def run_minutes(study: Study, stage: str, environment: str, method: str) -> int:
    """Time limit of a run on a cluster: half a second an update, two milliseconds a step, and half an hour. A run that hits it resumes."""
    training = study.settings[environment].training
    steps = run_steps(study, stage, environment, method)
    updates = steps * training.train_ratio / (training.batch_size * training.batch_length)
    dreamer = study.methods[method].algorithm == "dreamer"
    return int(30 + (0.002 * steps + 0.5 * updates * dreamer) / 60)


def run_memory(study: Study, stage: str, environment: str, method: str) -> int:
    """Memory of a run in MB: the pictures of the replay twice (the file cache holds them too) and 4 GB for the rest."""
    parts = study.settings[environment]
    kept = min(run_steps(study, stage, environment, method), parts.training.replay_capacity)
    return 4000 + 2 * kept * 3 * parts.world_model.image_size**2 // 10**6


def pairs_processes(study: Study, environment: str) -> int:
    """Processes that draw the frames of the pairs side by side: one where the collection keeps them."""
    return 8 if study.settings[environment].environment.family in DRAWN else 1


def pairs_minutes(study: Study, environment: str) -> int:
    """Time limit of drawing the pairs: an hour and, where frames are drawn, 0.05 s for each of two sides in two views, side by side."""
    parts = study.settings[environment]
    drawn = 4 * parts.pairs.number * (parts.environment.family in DRAWN)
    return int(60 + 0.05 * drawn / pairs_processes(study, environment) / 60)


def frames_memory(study: Study, environment: str) -> int:
    """Memory in MB of a job that holds every frame of the pairs: two a pair, 224 x 224 pixels where they are drawn, else 80 x 80."""
    parts = study.settings[environment]
    side = 224 if parts.environment.family in DRAWN else 80
    return 4000 + 2 * parts.pairs.number * 3 * side**2 // 10**6


def _settled(value: Any) -> Any:
    """`value` without its operational keys."""
    if isinstance(value, dict):
        return {key: _settled(part) for key, part in value.items() if key not in OPERATIONAL}
    return value


def _shared(study: Study, other: Study) -> dict[str, Any]:
    """The part of `study` that `other` names too."""
    methods = [name for name in study.methods if name in other.methods]
    return _settled(
        {
            "collector": study.collector,
            "settings": {name: study.settings[name].model_dump(mode="json") for name in study.settings if name in other.settings},
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
