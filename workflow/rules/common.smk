"""The study, validated before anything else; what rules ask of the table of stages (sensei/study/stages.py)."""

import json
import os
import re
import sys
from pathlib import Path

from sensei.core.faults import explained
from sensei.core.files import remove_temporaries
from sensei.core.locks import hold
from sensei.core.orphan import let_jobs_end_with_me
from sensei.core.process import use_this_interpreter
from sensei.study.cost import jobs_in_a_row, limit, pairs_processes
from sensei.study.folder import check_folder, record_study
from sensei.study.graph import NOTHING, REDRAWN, constraints
from sensei.study.layout import RESULTS, Layout, manifest_of
from sensei.study.load import load_study, read_layers
from sensei.study.models.annotators import annotator_class
from sensei.study.slices import figures_of, jobs
from sensei.study.stage import Job, own_stage
from sensei.study.stages import STAGES

MAIN = workflow.modifier.is_main_snakefile()  # if not, another workflow uses this one as a module, and gives it its `config`
SOURCE = " + ".join(os.path.relpath(path) for path in workflow.configfiles) or "the command line"
try:
    # The files are read again: Snakemake's reader lets a key stand twice, and takes `off` for false.
    GIVEN = read_layers(map(os.path.relpath, workflow.configfiles), workflow.config_settings.config) if MAIN else config
    STUDY = load_study(GIVEN, source=SOURCE if MAIN else "the module's config")
    OWN_STAGES = {called: own_stage(called) for called in STUDY.stages}
    FILES = Layout(RESULTS / STUDY.study)
    check_folder(STUDY, FILES.study, SOURCE)
except Exception as error:
    if (TOLD := explained(error)) is None:
        raise
    sys.exit(f"Error: {TOLD}")  # SystemExit, because Snakemake prints the traceback of any other exception

use_this_interpreter()
let_jobs_end_with_me()

# Once, not in each job, which reads this file again; and not where nothing of the study is made. Jobs with a software environment of
# their own, or on a cluster, may have what this machine lacks.
ASIDE = {"published", "--unlock", "--cleanup-metadata", "--list-rules", "--touch", "--report", "--lint"}
DRY = any(re.fullmatch("--dry-?run|-[a-zA-Z]*n[a-zA-Z]*", word) for word in sys.argv)
ASKED = workflow.is_main_process and not ASIDE & set(sys.argv)
if ASKED:
    from sensei.study.preflight import lacking

    for line in STUDY.told_left_out():
        print(f"{SOURCE}: {line}", file=sys.stderr)
    HERE = not workflow.deployment_settings.deployment_method and workflow.resource_settings.nodes is None
    if LACKING := lacking(STUDY, FILES, SOURCE, HERE, page=not {"figures", "train_all"} & set(sys.argv)):
        sys.exit(f"Error: {LACKING}")
    if DRY:
        from sensei.study.plan import plan

        print(plan(STUDY, FILES, look=False).line(), file=sys.stderr)


pathvars:
    results=str(FILES.root),


wildcard_constraints:
    **constraints(STUDY),


PATTERNS = Layout("<results>")
GENERATIONS = max(len(STUDY.generation_ends(name)) for name in STUDY.environments)
EXPLORED, LEARNED = [FILES.explore(*run) for run in STUDY.exploration_runs()], [FILES.learn(*run) for run in STUDY.task_runs()]
RUNS = [str(run.agent) for run in EXPLORED + LEARNED]
LABELS = [str(path) for pair in STUDY.labelled() for path in (FILES.labels(*pair).labels, FILES.labels(*pair).card)]
FIGURES = [str(path) for name in figures_of(STUDY) for path in FILES.figure(name)]
OWN = [str(path) for stage in OWN_STAGES.values() for job in jobs(stage, STUDY) for path in stage.outputs(FILES, job).values()]


def inputs(stage):
    """What a job of `stage` reads, by name; in a study that was unpacked no date of it makes anything again but drawings."""
    given = FILES.croissant.exists() and stage.name in STAGES and stage.name not in REDRAWN
    return lambda wildcards: _texts(stage.inputs(STUDY, FILES, Job.of(wildcards)), ancient if given else str)


def gates(stage):
    """What must be there before a job of `stage` and is not read: if it is made again, the job is not."""
    return lambda wildcards: [ancient(str(path)) for path in stage.waits_for(STUDY, FILES, Job.of(wildcards))]


def outputs(stage, flags=None, **names):
    """Patterns of what `stage` writes, by name; `flags` wrap some of them, `names` replace wildcards."""
    patterns = _texts(stage.outputs(PATTERNS, Job.pattern(**names)))
    return {name: flags[name](pattern) if name in (flags or {}) else pattern for name, pattern in patterns.items()}


def log_of(stage, **names):
    """Pattern of the log of `stage`."""
    return str(stage.log(PATTERNS, Job.pattern(**names)))


def code(stage, **names):
    """The fingerprint of the modules that a job uses: it is made again if, and only if, they change."""
    return lambda wildcards: stage.fingerprint(STUDY, Job.of({**wildcards, **names}))


def settings(stage, **names):
    """The slice of the study that a job depends on, as text: likewise."""
    return lambda wildcards: json.dumps(stage.settings(STUDY, Job.of({**wildcards, **names})), sort_keys=True)


def command(stage, called=None):
    """The command of a job of `stage`, with its names as options; `called`: what the study calls it, if it is its own."""
    words = [f"--study {FILES.study}"] * stage.needs_study
    words += [f"--{axis} {{wildcards.{axis}}}" for axis in stage.axes if axis not in ("share", "generation")]
    words += ["--generation={wildcards.generation}"] * ("generation" in stage.axes and GENERATIONS > 1)  # empty for the first
    words += ["--share {params.share}"] * ("share" in stage.axes) + ["--threads {threads}"] * stage.threads
    name = f"run {called}" if called else stage.name
    # exec: a scheduler's signal reaches every process of a job, and a shell dies of it before the stage has saved its state
    return f"exec python -m sensei {name} {' '.join(words)} >> {{log}} 2>&1"


def _texts(paths, mark=str):
    return {name: [mark(_text(path)) for path in value] if isinstance(value, list) else mark(_text(value)) for name, value in paths.items()}


def _text(path):
    """Below the working directory paths are relative, so that a finished study stays finished when its checkout is moved."""
    return os.path.relpath(path) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(path)


def on_the_page(category):
    """How a run's video stands in Snakemake's own report."""
    labels = {name: f"{{{name}}}" for name in ("environment", "method", "seed")}
    return {"video": lambda path: report(path, caption="../report/video.rst", category=category, labels=labels)}


def limits(stage, what):
    """What a job of `stage` asks for at most: its `minutes`, or its `memory` in MB."""
    return lambda wildcards: getattr(limit(STUDY, stage.name, Job.of(wildcards)), what)


def gpus(wildcards):
    """GPUs of a job: none for a study on the CPU."""
    return int(STUDY.settings[wildcards.environment].training.device != "cpu")


# Not a rule: a study with one more seed is another file, and what waits for that file must not be made again. The study's lock takes the
# place of Snakemake's own (profiles: nolock), which outlives a killed process, and which whoever ends first drops for all others.
def begin():
    """Take the study for this Snakemake, and say in its folder what it is."""
    try:
        hold(FILES.lock, f"the making of {FILES.root}")
        remove_temporaries(FILES.study, manifest_of(FILES.study))
        record_study(STUDY, FILES.study)
    except Exception as error:
        if (TOLD := explained(error)) is None:
            raise
        sys.exit(f"Error: {TOLD}")


if not MAIN and ASKED and not DRY:
    begin()  # the beginning of a module is nobody's: `onstart` is the other workflow's


onstart:
    if set(workflow.dag_settings.targets) != {"published"}:
        begin()
    if workflow.non_local_exec:  # here and not as `retries` of the rules, which would count inside the jobs as well
        for name in ("explore", "learn"):
            workflow.get_rule(name).restart_times = workflow.execution_settings.retries + jobs_in_a_row(STUDY, name) - 1
