"""What the stages share: slices of the study by value, and the modules behind the names in it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sensei.annotators.prompts import prompt_path
from sensei.core.plugins import module_of
from sensei.study.layout import Layout, PairFiles
from sensei.study.models.annotators import ABOUT, ANNOTATORS
from sensei.study.models.environment import ENVIRONMENTS
from sensei.study.models.exploration import AGENTS, SOURCES
from sensei.study.models.study import OPERATIONAL, Study
from sensei.study.stage import Job, Stage

ASKING = ("order", "both_orders", "views")  # how pairs are asked; what else is under `labels` are limits


def settled(value: Any) -> Any:
    """`value`, a section or nested mappings, without its operational keys."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: settled(part) for key, part in value.items() if key not in OPERATIONAL}
    return value


def of_run(study: Study, job: Job, without: Iterable[str]) -> dict[str, Any]:
    """What a run depends on; `without` are the keys of `training` that belong to the other phase."""
    settings = settled(study.settings[job.environment])
    del settings["training"]["own_steps"]  # of other methods too
    settings["training"]["learn_steps"] = study.settings[job.environment].training.task_steps(job.method)
    part = {key: settings[key] for key in ("environment", "world_model", "ensemble", "behaviour", "training")}
    part["training"] = {key: value for key, value in part["training"].items() if key not in without}
    return part | {"method": settled(study.methods[job.method]), "weights": settled(study.weights(job.environment, job.method))}


def of_analysis(study: Study) -> dict[str, Any]:
    """What tables and figures depend on: all but how labels are asked for and judged, and which figures are drawn."""
    whole = settled(study)
    for settings in whole["settings"].values():
        del settings["labels"], settings["pairs"]["shards"]
    whole["annotator_settings"] = {name: asked_as(study, name) for name in study.annotator_settings}
    told_by_inputs = ("figures", "stages", "question", "left_out", "generations", "relabel_every", "relabel_pairs", "one_generation")
    return {key: value for key, value in whole.items() if key not in told_by_inputs}


def asked_as(study: Study, annotator: str) -> dict[str, Any]:
    """What an annotator is, whatever it is asked about."""
    return {key: value for key, value in settled(study.annotator_settings[annotator]).items() if key not in ABOUT}


def run_code(study: Study, job: Job) -> list[str]:
    """Modules of a run: the loop, the environment with its workers, the algorithm, the reward sources."""
    method = study.methods[job.method]
    sources = [module_of(name, *SOURCES) for name in method.sources]
    worker = "sensei.envs.vector.worker"
    return ["sensei.training.runs", worker, *families(study, [job.environment]), module_of(method.algorithm, *AGENTS), *sources]


def families(study: Study, environments: Iterable[str]) -> list[str]:
    """Modules of the families of some environments."""
    return sorted({module_of(study.settings[name].environment.family, *ENVIRONMENTS) for name in environments})


def annotator_code(study: Study, job: Job) -> str:
    """Module of an annotator's kind."""
    return module_of(study.annotator_settings[job.annotator].kind, *ANNOTATORS)


def asked_about(study: Study, files: Layout, job: Job) -> PairFiles:
    """The pairs about which an annotator is asked in a generation."""
    return files.pairs(job.environment, job.generation, study.own_pairs(job.annotator, job.generation))


def prompts(study: Study, job: Job) -> list[Path]:
    """The prompt file with which an annotator is asked, if it is asked in words."""
    prompt = study.prompt_of(job.annotator, job.environment)
    return [prompt_path(prompt)] if prompt else []


def figures_of(study: Study) -> dict[str, Any]:
    """Name of the drawing -> figure, of all figures of a study.

    Raises:
        SenseiError: one does not exist, or two have one name.
    """
    from sensei.analysis.figures import registry  # which imports pandas: not for `--help`

    return registry.figures_of(study)


def figure_of(study: Study, name: str) -> Any:
    """The figure of a study whose drawing has a name, or the figure of this package called so.

    Raises:
        SenseiError: there is none.
    """
    from sensei.analysis.figures import registry

    return registry.figure_of(study, name)


def jobs(stage: Stage, study: Study) -> list[Job]:
    """Every job of a stage: all combinations of its axes that the study has."""
    named: list[dict[str, Any]] = [{}]
    for axis in (axis for axis in Job.__dataclass_fields__ if axis in stage.axes):
        named = [{**names, axis: value} for names in named for value in _values(stage, study, axis, names)]
    return [Job.of(names) for names in named]


def _values(stage: Stage, study: Study, axis: str, names: dict[str, Any]) -> Iterable[Any]:
    """What an axis ranges over, beside `names` of the axes before it."""
    if axis == "environment":
        return study.environments
    if axis == "figure":
        return figures_of(study)
    assert "environment" in names, f"axis {axis} needs axis environment before it"
    environment, ends = names["environment"], study.generation_ends(names["environment"])
    generations = study.last_generation(environment, names["method"]) if "method" in names else len(ends)
    return {
        "task": study.settings[environment].environment.tasks,
        "method": study.learn if "task" in stage.axes else study.explore,
        "annotator": study.annotators_of(environment),
        "seed": study.seeds_of(environment),
        "shard": range(study.settings[environment].pairs.shards),
        "share": [1],
        "generation": range(1, 1 + generations),
    }[axis]
