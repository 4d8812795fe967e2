"""The jobs behind a study, found as Snakemake finds them: from what is wanted back to what makes it, by the patterns of the stages."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from sensei.core.verification import recorded_inputs
from sensei.study.layout import Layout
from sensei.study.models.study import Study
from sensei.study.slices import figures_of, jobs
from sensei.study.stage import Job, Stage, flat, own_stage
from sensei.study.stages import STAGES

REDRAWN = ("tabulate", "figure", "tables", "report")
NOTHING = "(?!)"  # matches no name
WILDCARD = re.compile(r"\\{(\w+)\\}")


class Work(NamedTuple):
    """One job of one stage."""

    stage: Stage
    job: Job

    @property
    def redraws(self) -> bool:
        """Whether it is made of finished results alone: what the stages of tables and drawings do, and those that a study names."""
        return self.stage.name in REDRAWN or self.stage.name not in STAGES

    def reads(self, study: Study, files: Layout) -> list[Path]:
        """Its inputs."""
        return flat(self.stage.inputs(study, files, self.job))

    def needs(self, study: Study, files: Layout) -> list[Path]:
        """What must be there before it begins: what it reads, and what it waits for."""
        return [*self.reads(study, files), *self.stage.waits_for(study, files, self.job)]


def constraints(study: Study) -> dict[str, str]:
    """What a name in a path may be, axis -> regular expression: the workflow's constraints on wildcards."""
    tasks = (task for parts in study.settings.values() for task in parts.environment.tasks)
    named = {
        "environment": study.settings,
        "annotator": study.annotator_settings,
        "method": study.methods,
        "task": dict.fromkeys(tasks),
        "figure": figures_of(study),
    }
    return {axis: "|".join(map(re.escape, names)) or NOTHING for axis, names in named.items()} | {
        "seed": r"\d+",
        "shard": r"\d+",
        "share": r"0\.\d+",
        "generation": r"|[2-9]|[1-9]\d+",
    }


def work(study: Study, files: Layout, left: bool = False) -> list[Work]:
    """Every job of a study, or those that are still `left`, in the order in which they may run.

    Left is what makes a wanted file that is not there or was made of fewer files than it would be today, what makes a file which that needs
    and which is not there, and what reads what one of them makes; whether files are newer than others, or made by other code, is for
    Snakemake to say.
    """
    makers, wanted = _Makers(study, files), list(targets(study, files))
    every = _behind(wanted, makers, study, files, lambda path: True)
    if not left:
        return every
    found = set(_behind(wanted, makers, study, files, lambda path: not path.exists() or _made_of_less(path, makers.of(path), study, files)))
    for one in every:
        if one not in found and any(makers.of(path) in found for path in one.reads(study, files)):
            found.add(one)
    return [one for one in every if one in found]


def _behind(paths: list[Path], makers: "_Makers", study: Study, files: Layout, counts: Callable[[Path], bool]) -> list[Work]:
    """The jobs that make `paths`, and those that make what these need, each after what it needs; files that do not count need none."""
    begun, found = set(), []

    def visit(path: Path) -> None:
        one = makers.of(path) if counts(path) else None
        if one is None or one in begun:
            return
        begun.add(one)
        for needed in one.needs(study, files):
            visit(needed)
        found.append(one)

    for path in paths:
        visit(path)
    return found


def _made_of_less(path: Path, one: Work | None, study: Study, files: Layout) -> bool:
    """Whether a file's manifest lacks an input that its job has in this study: it has got a seed more, say."""
    stated = recorded_inputs(path) if one else None
    return stated is not None and any(read not in stated for read in one.reads(study, files) if read.is_relative_to(files.root))


def targets(study: Study, files: Layout) -> Iterator[Path]:
    """What the workflow makes if nothing else is asked for."""
    last = [*(STAGES[name] for name in REDRAWN), *map(own_stage, study.stages)]
    for stage in last:
        for job in jobs(stage, study):
            yield from stage.outputs(files, job).values()


def stages(study: Study) -> list[Stage]:
    """The stages of the pipeline, in order, and those that a study names."""
    return [*(stage for stage in STAGES.values() if stage.needs_study), *map(own_stage, study.stages)]


class _Makers:
    """Which job makes a file."""

    def __init__(self, study: Study, files: Layout):
        patterns, allowed = Layout(files.root), constraints(study)
        self.known, self.found = [], {}
        for stage in stages(study):
            for job in (Job.pattern(), Job.pattern(share="{share}"))[: 1 + ("share" in stage.axes)]:
                for path in stage.outputs(patterns, job).values():
                    self.known.append((_expression(path, allowed), stage))

    def of(self, path: Path) -> Work | None:
        """The job that makes `path`; None if no stage does."""
        if path not in self.found:
            matches = ((expression.fullmatch(str(path)), stage) for expression, stage in self.known)
            self.found[path] = next((Work(stage, Job.of(match.groupdict())) for match, stage in matches if match), None)
        return self.found[path]


def _expression(pattern: Path, allowed: dict[str, str]) -> re.Pattern[str]:
    """What the paths of a pattern look like; a name that stands twice in it is the same twice."""
    seen: set[str] = set()

    def one(found: re.Match[str]) -> str:
        name = found[1]
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return f"(?P<{name}>{allowed.get(name, '[^/]+')})"

    return re.compile(WILDCARD.sub(one, re.escape(str(pattern))))
