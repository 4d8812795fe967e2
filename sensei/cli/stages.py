"""A command for every stage of the table."""

import inspect
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from sensei.core.errors import SenseiError, quoted
from sensei.study.cost import estimated
from sensei.study.load import read_study
from sensei.study.models.study import Study
from sensei.study.stage import Job, Stage, carry_out, own_stage
from sensei.study.stages import STAGES

AXES = {
    "environment": "environment of the study, e.g. minihack_keyroom_s15",
    "task": "task of the environment, e.g. keyroom",
    "method": "method of the study, e.g. sensei",
    "annotator": "annotator of the study, e.g. oracle",
    "seed": "seed of the run",
    "shard": "which share of the pairs, from 0",
    "share": "share of the labels to learn from; held out are always the same",
    "generation": "which reward model of a study with several, from 1",
    "figure": "figure of the study, e.g. interactions",
}
WHOLE = ("seed", "shard")
STUDY = inspect.Parameter(
    "study",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[Path, typer.Option(help="resolved study, results/STUDY/study.yaml (see `study`)")],
)
THREADS = inspect.Parameter(
    "threads",
    inspect.Parameter.KEYWORD_ONLY,
    default=1,
    annotation=Annotated[int, typer.Option(min=1, help="CPU threads of this process")],
)


def checked_generation(text: str) -> str:
    """A generation as its files are called; the workflow gives none for the first."""
    if not re.fullmatch(r"([1-9]\d{0,3})?", text):
        raise typer.BadParameter(f"{quoted(text)} is none: give 1, 2, ...")
    return text or "1"


def add_to(app: typer.Typer) -> None:
    """A command for each stage; those with `own` stages of a study are reached by `run package.module:Class`."""
    for stage in STAGES.values():
        app.command(name=stage.name, help=inspect.getdoc(type(stage)))(annotate if stage.name == "annotate" else command(stage))
    app.command(name="run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(run)


def command(stage: Stage) -> Any:
    """A function with an option for everything that the stage asks for."""

    def call(**options: Any) -> None:
        _call(stage, options)

    call.__signature__ = inspect.Signature(_parameters(stage))
    call.__annotations__ = {name: parameter.annotation for name, parameter in call.__signature__.parameters.items()}
    return call


def annotate(
    study: STUDY.annotation,
    environment: Annotated[str, typer.Option(help=AXES["environment"])],
    annotator: Annotated[str, typer.Option(help=AXES["annotator"])],
    shard: Annotated[int | None, typer.Option(min=0, help=AXES["shard"])] = None,
    generation: Annotated[str, typer.Option(help=AXES["generation"], callback=checked_generation)] = "1",
    estimate: Annotated[bool, typer.Option("--estimate", help="only say what all shards would take; send nothing")] = False,
) -> None:
    """The stage `annotate`, or what it would cost."""
    if estimate:
        print("\n".join(estimated(study, environment, annotator, generation)))
    elif shard is None:
        raise SenseiError("annotate needs --shard", hint="--estimate does without it")
    else:
        names = {"environment": environment, "annotator": annotator, "shard": shard, "generation": generation}
        _call(STAGES["annotate"], {"study": study, **names})


def run(context: typer.Context, stage: Annotated[str, typer.Argument(help='a stage of one\'s own, "package.module:Class"')]) -> None:
    """Carry out a stage that a study names under `stages:`; its options follow."""
    own = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    found = own_stage(stage)
    own.command(help=inspect.getdoc(type(found)))(command(found))
    own(context.args, prog_name=f"sensei run {stage}")


def _parameters(stage: Stage) -> list[inspect.Parameter]:
    def option(name: str, kind: Any, help: str, default: Any = inspect.Parameter.empty, **limits: Any) -> inspect.Parameter:
        annotation = Annotated[kind, typer.Option(help=help, **limits)]
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    job = Job()
    defaults = {axis: value for axis in stage.axes if (value := getattr(job, axis)) != f"{{{axis}}}"}
    limits = dict.fromkeys(WHOLE, {"min": 0}) | {"share": {"callback": _share}, "generation": {"callback": checked_generation}}
    axes = [
        option(axis, int if axis in WHOLE else str, AXES[axis], defaults.get(axis, inspect.Parameter.empty), **limits.get(axis, {}))
        for axis in stage.axes
    ]
    own = [option(name, Path | None, help, None) for name, help in stage.own.items()]
    return [*([STUDY] if stage.needs_study else []), *axes, *own, *([THREADS] if stage.threads else [])]


def _share(text: str) -> str:
    """A share as its files are called."""
    if not re.fullmatch(r"1|0\.\d{1,9}", text):
        raise typer.BadParameter(f"{quoted(text)} is none: give 1, or a fraction such as 0.25")
    return text


def _call(stage: Stage, options: dict[str, Any]) -> None:
    path, threads = options.pop("study", None), options.pop("threads", 1)
    given = {name: value for name in stage.own if (value := options.pop(name)) is not None}
    study = read_study(path) if path else None
    _check_shard(study, options)
    carry_out(stage, study, path, Job.of(options), threads, given)


def _check_shard(study: Study | None, options: dict[str, Any]) -> None:
    """Refuse a shard that the study has not: it would hold no pairs, and nobody would read it."""
    if study is None or "shard" not in options or options["environment"] not in study.settings:
        return
    shards = study.settings[options["environment"]].pairs.shards
    if options["shard"] >= shards:
        raise SenseiError(f"no shard {options['shard']} in this study", expected=f"0 to {shards - 1} (`pairs.shards` is {shards})")
