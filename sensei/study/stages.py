"""What the stages are: the code, and the slice of the study, that each depends on."""

from typing import Any

from sensei.analysis.figures.registry import ROOM
from sensei.annotators.prompts import load_prompt
from sensei.core.plugins import module_of, names
from sensei.core.provenance import fingerprint
from sensei.study.models.study import OPERATIONAL, Study

_ENVS = ("envs.minihack.minihack", "envs.robodesk.robodesk", "envs.pixels", "envs.toy", "envs.vector.worker")
_FIGURES = tuple(module_of(name, *ROOM).removeprefix("sensei.") for name in names(*ROOM))
ASKING = ("order", "both_orders", "views")  # how pairs are asked; what else is under `labels` are limits


def slice_of(study: Study, stage: str, environment: str = "", method: str = "", annotator: str = "") -> dict[str, Any]:
    """The part of `study` that `stage` depends on; a change outside it re-makes nothing of that stage.

    The one list behind the `params:` of the rules and the settings in the manifests.
    """
    if stage in ("tabulate", "figure", "tables", "report"):
        return settled(study.model_dump(mode="json"))
    settings = settled(study.settings[environment].model_dump(mode="json"))
    if stage == "pairs":
        return {key: settings["pairs"][key] for key in ("kind", "number", "seeds")} | {"environment": settings["environment"]}
    if stage == "annotate":
        config = settled(study.annotator_settings[annotator].model_dump(mode="json"))
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


def settled(value: Any) -> Any:
    """`value` without its operational keys."""
    if isinstance(value, dict):
        return {key: settled(part) for key, part in value.items() if key not in OPERATIONAL}
    return value


# The modules that a stage calls; what they import inside the package follows by itself.
MODULES = {
    "explore": ("training.runs", *_ENVS),
    "collect": ("replay.episodes",),
    "pairs": ("preferences.pairs", "envs.robodesk.robodesk"),
    "annotate": ("annotators.shards",),
    "caption-clip": ("annotators.clip.captioned_clip", "envs.minihack.captions"),
    "labels": ("preferences.labels",),
    "trust": ("preferences.trust",),
    "distil": ("reward.distil",),
    "learn": ("training.runs", *_ENVS),
    "tabulate": ("analysis.scores",),
    "figure": ("analysis.figures.registry", *_FIGURES),
    "tables": ("analysis.tables",),
    "report": ("analysis.report", *_FIGURES),
    "published": ("analysis.figures.registry", *_FIGURES),
}


def code_of(stage: str) -> str | None:
    """Fingerprint of the code that `stage` depends on."""
    return fingerprint(f"sensei.{name}" for name in MODULES[stage]) if stage in MODULES else None
