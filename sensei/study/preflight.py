"""What a study lacks, found before its first job: everything at once, within seconds, with nothing written and nothing paid.

Only what is still to be made is asked about: a finished study lacks nothing, wherever it lies.
"""

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sensei.annotators.contract import Assignment
from sensei.annotators.estimate import beyond_budget
from sensei.annotators.prompts import Prompt, load_prompt
from sensei.core.devices import missing_gpu
from sensei.core.errors import MachineError, SenseiError, mistakes, quoted, shortened
from sensei.core.plugins import stated
from sensei.envs.registry import family
from sensei.envs.trial import Seen, Trial
from sensei.study.cost import study_bytes
from sensei.study.layout import Layout
from sensei.study.models.annotators import annotator_class
from sensei.study.models.study import Study
from sensei.study.models.training import TRACKERS
from sensei.study.slices import figures_of
from sensei.study.stage import Job, flat
from sensei.study.stages import STAGES

VARIABLE, VALUES = "SENSEI_PREFLIGHT", ("on", "offline", "off")  # offline: no server is asked
LEAST_TEMPORARY = 2**28  # bytes; games and what workers share lie there


@dataclass
class Unfinished:
    """What of a study is still to be made.

    online: whether servers may be asked. page: whether the report is wanted, which shows all labels, or only runs and figures.
    environments: those with a run or pairs to be made. labels: (environment, annotator, generation). seen: what the environments of both
    showed.
    """

    study: Study
    files: Layout
    online: bool
    page: bool = True
    environments: list[str] = field(init=False)
    labels: list[tuple[str, str, int]] = field(init=False)
    seen: dict[str, Seen] = field(default_factory=dict)

    def __post_init__(self):
        asked_for = self.study.label_sets() if self.page else self._learned_from_or_drawn()
        self.labels = [names for names in asked_for if not self.files.labels(*names).labels.exists()]
        self.environments = [name for name in self.study.environments if self._is_unfinished(name)]

    def _is_unfinished(self, environment: str) -> bool:
        explored = [run for run in self.study.exploration_runs() if run[0] == environment]
        runs = [self.files.explore(*run, self.study.last_generation(*run[:2])) for run in explored]
        runs += [self.files.learn(*run) for run in self.study.task_runs() if run[0] == environment]
        return not self.files.pairs(environment).pairs.exists() or not all(run.events.exists() for run in runs)

    def _learned_from_or_drawn(self) -> list[tuple[str, str, int]]:
        """Labels from which a method's reward is distilled, or of which a figure tells."""
        study, files = self.study, self.files
        rewarded = [name for name, method in study.methods.items() if method.needs_reward_model]
        guiding = {(environment, study.annotator_of(name, environment)) for environment in study.environments for name in rewarded}
        learned = [names for names in study.label_sets() if names[:2] in guiding]
        drawn = [path for name in figures_of(study) for path in flat(STAGES["figure"].inputs(study, files, Job(figure=name)))]
        folders = {names: (files.labels(*names).folder, files.reward(*names).folder) for names in study.label_sets()}
        shown = [names for names, own in folders.items() if any(path.is_relative_to(folder) for path in drawn for folder in own)]
        return list(dict.fromkeys([*learned, *shown]))

    @property
    def asked(self) -> list[str]:
        """Environments that have to be seen."""
        return [name for name in self.study.environments if name in self.environments or any(name == of for of, *_ in self.labels)]


def lacking(study: Study, files: Layout, source: str, here: bool = True, page: bool = True) -> str | None:
    """What a study lacks, in lines for people; None if it lacks nothing, or the environment variable SENSEI_PREFLIGHT is `off`.

    Args:
        source: what messages call its file.
        here, page: as for `missing`.
    """
    value = os.environ.get(VARIABLE, "on")
    if value not in VALUES:
        return str(SenseiError(f"the environment variable {VARIABLE}", found=quoted(value), expected=", ".join(VALUES)))
    errors = [] if value == "off" else missing(study, files, value == "on", here, page)
    return told(errors, source) if errors else None


def missing(study: Study, files: Layout, online: bool = True, here: bool = True, page: bool = True) -> list[SenseiError]:
    """Everything that a study lacks, in the order of its stages; empty if its first job may start.

    Args:
        files: where its results are.
        online: whether servers may be asked (for what costs nothing).
        here: whether its jobs run on this machine, in this software environment; if not, what only the machine lacks is passed over.
        page: whether all labels are wanted, which the report shows, or those alone that runs and figures need.
    """
    left = Unfinished(study, files, online, page)
    found = {str(error): error for check in CHECKS for error in check(left)}  # each once, whomever it concerns
    return [error for error in found.values() if here or not isinstance(error, MachineError)]


def told(errors: list[SenseiError], source: str) -> str:
    """All of them for people, a line each."""
    count = "1 thing" if len(errors) == 1 else f"{len(errors)} things"
    return "\n".join([f"{source} cannot run yet, {count} to mend:", *(f"  {shortened(error)}" for error in errors)])


def _environments(left: Unfinished) -> Iterator[SenseiError]:
    """Family, level, events, tasks and views exist, its packages are there, it starts, steps and draws: all are made at once."""
    trials = {}
    try:
        for name in left.asked:
            parts = left.study.settings[name]
            known = family(parts.environment).annotator_views
            if unknown := [view for view in parts.labels.views if view not in known]:
                expected = f"one of {', '.join(known)}"
                yield SenseiError(f"{name}: `labels.views` names a view that there is not", found=unknown[0], expected=expected)
            views = tuple(view for view in parts.labels.asked_views if view is None or view in known)
            trials[name] = Trial(parts.environment, parts.world_model.image_size, views or (None,))
        for name, trial in trials.items():
            try:
                left.seen[name] = trial.result()
            except SenseiError as error:
                yield error
    finally:
        for trial in trials.values():
            trial.end()


def _pairs(left: Unfinished) -> Iterator[SenseiError]:
    """Contrastive pairs: the environment says which states they are made of."""
    for name, seen in left.seen.items():
        parts = left.study.settings[name]
        asked = any(name == environment for environment, *_ in left.labels)
        if asked and parts.pairs.kind == "contrastive" and not left.files.pairs(name).pairs.exists():
            yield from mistakes(family(parts.environment).extremes, seen.state)


def _prompts(left: Unfinished) -> Iterator[SenseiError]:
    """Prompts can be read, and speak of what their environment has."""
    for name, annotator, _ in left.labels:
        prompt = left.study.prompt_of(annotator, name)
        if prompt is None:
            continue
        if mistaken := mistakes(load_prompt, prompt):
            yield from mistaken
        elif name in left.seen:
            yield from _inventory(load_prompt(prompt), left.seen[name], name)


def _inventory(prompt: Prompt, seen: Seen, environment: str) -> Iterator[SenseiError]:
    key = prompt.inventory["state"] if prompt.inventory else None
    if key is not None and key not in seen.state:
        what = f"prompt {prompt.name} speaks of the state {key!r}, which environment {environment} has not"
        yield SenseiError(
            what, found=", ".join(seen.state) or "no state", hint="choose another with `pairs.prompt` or the annotator's `prompt`"
        )


def _annotators(left: Unfinished) -> Iterator[SenseiError]:
    """Annotators have what they say they need; one that several environments ask is asked once about each."""
    for name, annotator, generation in left.labels:
        options, parts = left.study.annotator_settings[annotator], left.study.settings[name]
        folder, prompt = left.files.labels(name, annotator, generation).folder, left.study.prompt_of(annotator, name)
        assignment = Assignment(parts.pairs.seeds[0], prompt, folder, left.files.ledger, parts.environment)
        state = left.seen[name].state if name in left.seen else None
        yield from annotator_class(options.kind).missing(options, assignment, state, left.online)


def _budget(left: Unfinished) -> Iterator[SenseiError]:
    """Models cost no more than may be spent on them."""
    if all(name in left.seen for name, *_ in left.labels):  # for it makes environments itself
        try:
            yield from map(SenseiError, beyond_budget(left.study, left.files))
        except SenseiError as error:
            yield error


def _device(left: Unfinished) -> Iterator[SenseiError]:
    """A GPU where one is wanted, for any of the environments."""
    devices = {left.study.settings[name].training.device for name in left.environments}
    for device in devices:
        yield from missing_gpu(device)


def _packages(left: Unfinished) -> Iterator[SenseiError]:
    """What trackers need."""
    for name in dict.fromkeys(name for parts in left.environments for name in left.study.settings[parts].training.trackers):
        facts = stated(name, *TRACKERS)
        if (package := facts["package"]) and importlib.util.find_spec(package) is None:
            yield MachineError(f"tracker {name} needs the Python module {package}", hint=facts["install"] or f"pip install {package}")


def _disk(left: Unfinished) -> Iterator[SenseiError]:
    """Results and temporary files can be written, and have room."""
    if not left.asked:
        return
    results = next(folder for folder in (left.files.root.absolute(), *left.files.root.absolute().parents) if folder.exists())
    needed = study_bytes(left.study, left.files, left.seen)
    for folder, least, remedy, kind in (
        (results, needed, "free some, or lower `training.replay_capacity`, `training.explore_steps` or `pairs.number`", SenseiError),
        (Path(tempfile.gettempdir()), LEAST_TEMPORARY, "free some, or set TMPDIR to another folder", MachineError),
    ):
        if not folder.is_dir():
            yield SenseiError(f"{folder} is no folder", hint="it is in the place of the results: move it away")
        elif not os.access(folder, os.W_OK | os.X_OK):
            yield kind(f"the folder {folder} cannot be written to", hint="run where it can, or mount it for writing")
        elif (free := shutil.disk_usage(folder).free) < least:
            yield kind(f"the disk of {folder} has not enough room", found=_gb(free), expected=f"about {_gb(least)}", hint=remedy)


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


CHECKS = (_environments, _pairs, _prompts, _annotators, _budget, _device, _packages, _disk)
