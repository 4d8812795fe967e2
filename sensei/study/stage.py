"""What a stage is: one class says what it depends on, what it reads, what it writes and what it does.

Rules, command line, fingerprints and manifests all ask the class, so none of them can disagree with another. The stages of the pipeline
are the table in `sensei.study.stages`; a study may name more of them under `stages:` ("package.module:Class", from anywhere).
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from sensei.core.errors import SenseiError
from sensei.core.plugins import find
from sensei.core.process import stage as frame
from sensei.core.provenance import fingerprint
from sensei.study.layout import RESULTS, Layout, log_beside
from sensei.study.models.study import Study

Paths = dict[str, Path | list[Path]]


@dataclass(frozen=True)
class Job:
    """What tells the jobs of a stage apart; what is not given is Snakemake's wildcard of that name, so that paths become patterns."""

    environment: str = "{environment}"
    task: str = "{task}"
    method: str = "{method}"
    annotator: str = "{annotator}"
    seed: str = "{seed}"
    shard: str = "{shard}"
    share: str = "1"
    generation: str = "1"
    figure: str = "{figure}"

    @classmethod
    def of(cls, names: dict[str, object]) -> "Job":
        """The job of these names; names of other things are left out, and so is an empty one, as which the first generation is in paths."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: str(value) for name, value in names.items() if name in known and value != ""})

    @classmethod
    def pattern(cls, **names: str) -> "Job":
        """The job behind a rule: all that is not given is a wildcard, but for the share, which has rules of its own."""
        return cls(generation="{generation}", **names)


class Stage:
    """One stage of the pipeline.

    Attributes:
        name: of its command, its rule and its log.
        axes: what tells its jobs apart, fields of `Job`; its command has an option for each.
        own: further options of its command, option -> what it is: a file to read in place of the study's, or `folder` to write elsewhere.
        threads: whether it computes with as many threads as it is given.
        draws: whether it draws random numbers; their seed is that of the run or, where jobs have none, of the pairs.
        needs_study: whether it is about a study.
    """

    name: ClassVar[str]
    axes: ClassVar[tuple[str, ...]] = ()
    own: ClassVar[dict[str, str]] = {}
    threads: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    needs_study: ClassVar[bool] = True

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        """What it writes, by name."""
        raise NotImplementedError

    def log(self, files: Layout, job: Job) -> Path:
        """Where what it says goes: beside its first output."""
        return log_beside(next(iter(self.outputs(files, job).values())), self.name)

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        """What it reads, by name, the resolved study apart; the rule's inputs and the manifest's."""
        return {}

    def folders(self, study: Study, files: Layout, job: Job) -> dict[Path, Path]:
        """Folders in which it reads files that one of its inputs names (folder -> that input): they are known only after the run."""
        return {}

    def within(self, study: Study, files: Layout, job: Job) -> list[Path]:
        """Which files of `folders` it reads, once its inputs are there; by default all of them."""
        return [path for folder in self.folders(study, files, job) for path in sorted(folder.iterdir()) if path.name[0] != "."]

    def kept(self, study: Study, job: Job, outputs: dict[str, Path]) -> dict[Path, Path]:
        """Folders whose files it writes besides (folder -> the output whose manifest vouches for them)."""
        return {}

    def waits_for(self, study: Study, files: Layout, job: Job) -> list[Path]:
        """What must be there and is not read."""
        return []

    def settings(self, study: Study, job: Job) -> dict[str, Any]:
        """The slice of the study that it depends on; a change outside it re-makes nothing."""
        return {}

    def code(self, study: Study, job: Job) -> list[str]:
        """Modules that it calls; what they import inside the package follows by itself, what a registry finds by name does not.

        The module of a stage that a study names counts without being named here, and what it imports with it.
        """
        return []

    def facts(self, study: Study, job: Job) -> list[str]:
        """Modules whose classes it only asks what they say of themselves: families of environments."""
        return []

    def seed(self, study: Study, job: Job) -> int | None:
        """The seed of what it draws; None if it draws nothing."""
        if "seed" in self.axes:
            return int(job.seed)
        return study.settings[job.environment].pairs.seeds[0] if self.draws else None

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        """Read `inputs`, write `outputs`."""
        raise NotImplementedError

    def written_to(self, folder: Path, outputs: dict[str, Path]) -> dict[str, Path]:
        """`outputs` in another folder."""
        return {name: folder / path.name for name, path in outputs.items()}

    def fingerprint(self, study: Study, job: Job) -> str:
        """Hash of the code behind a job."""
        module = type(self).__module__
        own = [] if module.startswith("sensei.") else [module]
        return fingerprint([*own, *self.code(study, job)], self.facts(study, job))


def own_stage(name: str) -> Stage:
    """A stage that a study names, "package.module:Class".

    Raises:
        SenseiError: there is none.
    """
    return find(name, "sensei.study", "Stage", "stage")()


def carry_out(
    stage: Stage, study: Study | None, study_path: Path | None, job: Job, threads: int = 1, given: dict[str, Path] | None = None
) -> None:
    """Do one job: inputs are what the stages before have written, outputs are written, manifests tell of both.

    Args:
        study, study_path: None for a stage that needs no study.
        given: values of the stage's `own` options.

    Raises:
        SenseiError: what is asked for is not in the study, an input is missing or damaged, or as the stage says.
    """
    if stage.needs_study:
        check_names(study, study_path, job)
    files, given = Layout.of(study_path or RESULTS), dict(given or {})
    outputs = stage.outputs(files, job)
    if folder := given.pop("folder", None):
        outputs = stage.written_to(folder, outputs)
    inputs = stage.inputs(study, files, job)
    for name, path in given.items():
        if name not in inputs:
            raise SenseiError(f"{stage.name} takes no --{name} for {_described(stage, job)}", hint=f"leave --{name} out")
        inputs[name] = path
    brought = {study_path, *given.values(), *(path for path in flat(inputs) if not path.is_relative_to(files.root))}
    hint = "".join(f", or name another with `--{name}`" for name in inputs if name in stage.own)
    with frame(
        stage.name,
        inputs=[*([study_path] if study_path else []), *flat(inputs)],
        outputs=list(outputs.values()),
        settings=stage.settings(study, job),
        seed=stage.seed(study, job),
        threads=threads,
        code=stage.fingerprint(study, job),
        folders=stage.folders(study, files, job),
        kept=stage.kept(study, job, outputs),
        brought=brought,
        root=files.root,
        remedy=f"`snakemake` makes it; by hand, run the stage before this one{hint}",
    ):
        stage.run(study, job, inputs, outputs, threads)


def flat(paths: Paths) -> list[Path]:
    """All paths, in order."""
    return [path for value in paths.values() for path in (value if isinstance(value, list) else [value])]


def check_names(study: Study, source: Path, job: Job) -> None:
    """Refuse names that are not in the study.

    Raises:
        SenseiError: the first of them, with those there are.
    """
    known = {
        "environment": list(study.settings),
        "task": study.settings[job.environment].environment.tasks if job.environment in study.settings else [],
        "method": list(study.methods),
        "annotator": list(study.annotator_settings),
        "generation": _generations(study, job),
    }
    for axis, names in known.items():
        name = getattr(job, axis)
        if name != f"{{{axis}}}" and name not in names:
            hint = "correct the option, or add it to the study"
            raise SenseiError(f"{source}: no {axis} {name!r} in this study", expected=f"one of {', '.join(names)}", hint=hint)


def _generations(study: Study, job: Job) -> list[str]:
    """The generations that there are of what a job makes."""
    if job.environment not in study.settings:
        return [job.generation]
    known = study.methods.get(job.method)
    last = study.last_generation(job.environment, job.method) if known else len(study.generation_ends(job.environment))
    return [str(number) for number in range(1, 1 + last)]


def _described(stage: Stage, job: Job) -> str:
    return ", ".join(f"{axis} {getattr(job, axis)}" for axis in stage.axes)
