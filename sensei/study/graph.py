"""The jobs behind a study, found as Snakemake finds them: from what is wanted back to what makes it, by the patterns of the stages."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sensei.study.layout import Layout
from sensei.study.models.study import Study
from sensei.study.slices import figures_of, jobs
from sensei.study.stage import Job, Stage, flat, own_stage
from sensei.study.stages import STAGES

REDRAWN = ("tabulate", "figure", "tables", "report")
WILDCARD = re.compile(r"\\{(\w+)\\}")


class Work(NamedTuple):
    """One job of one stage."""

    stage: Stage
    job: Job

    @property
    def redraws(self) -> bool:
        """Whether it is made of finished results alone: what the stages of tables and drawings do, and those that a study names."""
        return self.stage.name in REDRAWN or self.stage.name not in STAGES

    def inputs(self, study: Study, files: Layout) -> list[Path]:
        """What must be there before it begins: what it reads, and what it waits for."""
        return [*flat(self.stage.inputs(study, files, self.job)), *self.stage.waits_for(study, files, self.job)]


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
    return {axis: "|".join(map(re.escape, names)) for axis, names in named.items()} | {
        "seed": r"\d+",
        "shard": r"\d+",
        "share": r"0\.\d+",
    }


def work(study: Study, files: Layout, left: bool = False) -> list[Work]:
    """Every job of a study, or those whose files are not `left` there yet, in the order in which they may run.

    Args:
        left: leave out what is there already, and what only that needs.
    """
    makers, begun, found = _Makers(study, files), set(), []

    def visit(path: Path) -> None:
        one = None if left and path.exists() else makers.of(path)
        if one is None or one in begun:
            return
        begun.add(one)
        for needed in one.inputs(study, files):
            visit(needed)
        found.append(one)

    for path in targets(study, files):
        visit(path)
    return found


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
        self.files, patterns, allowed = files, Layout(files.root), constraints(study)
        self.known = []
        for stage in stages(study):
            for job in (Job(), Job(share="{share}"))[: 1 + ("share" in stage.axes)]:
                for path in stage.outputs(patterns, job).values():
                    self.known.append((_expression(path, allowed), stage))

    def of(self, path: Path) -> Work | None:
        """The job that makes `path`; None if no stage does."""
        for expression, stage in self.known:
            if found := expression.fullmatch(str(path)):
                return Work(stage, Job.of(found.groupdict()))
        return None


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
