"""The study, validated before anything else; names and numbers that the rules share."""

import json
import os
import re
import sys
from pathlib import Path

from sensei.analysis import report as report_page, scores, tables as study_tables
from sensei.analysis.figures.registry import figures_of, published
from sensei.analysis.inputs import Inputs
from sensei.annotators.registry import MODEL_FILES, sources
from sensei.study.load import load_study
from sensei.core.errors import SenseiError
from sensei.study.folder import check_folder, record_study
from sensei.study.layout import Layout
from sensei.study.cost import frames_memory, pairs_minutes, pairs_processes, run_memory, run_minutes
from sensei.study.stages import code_of, slice_of

SOURCE = " + ".join(os.path.relpath(path) for path in workflow.configfiles) or "the command line"
try:
    STUDY = load_study(config, source=SOURCE)
    DRAWN = figures_of(STUDY)
    STUDY_FILE = f"results/{STUDY.study}/study.yaml"
    check_folder(STUDY, STUDY_FILE, SOURCE)
except SenseiError as error:
    sys.exit(f"Error: {error}")  # SystemExit, because Snakemake prints the traceback of any other exception

# `python` in a rule is the one that runs Snakemake, unless the rule's own software environment puts another before it.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


pathvars:
    results=f"results/{STUDY.study}",


FILES = Layout(f"results/{STUDY.study}")


wildcard_constraints:
    environment="|".join(map(re.escape, STUDY.settings)),
    annotator="|".join(map(re.escape, STUDY.annotator_settings)),
    method="|".join(map(re.escape, STUDY.methods)),
    task="|".join(re.escape(task) for parts in STUDY.settings.values() for task in parts.environment.tasks),
    figure="|".join(map(re.escape, DRAWN)),
    seed=r"\d+",
    shard=r"\d+",
    share=r"0\.\d+",


EXPLORE_RUN = "<results>/{environment}/explore/{method}/seed{seed}"
LEARN_RUN = "<results>/{environment}/learn/{task}/{method}/seed{seed}"
EXPLORE_RUNS = [
    run
    for environment in STUDY.environments
    for run in expand(EXPLORE_RUN, environment=environment, method=STUDY.explore, seed=STUDY.seeds_of(environment))
]
LEARN_RUNS = [
    run
    for environment in STUDY.environments
    for run in expand(
        LEARN_RUN,
        environment=environment,
        task=STUDY.settings[environment].environment.tasks,
        method=STUDY.learn,
        seed=STUDY.seeds_of(environment),
    )
]
RUNS = expand("{run}/agent.pt", run=EXPLORE_RUNS + LEARN_RUNS)
LABELS = [
    path
    for environment in STUDY.environments
    for path in expand(
        "<results>/{environment}/labels/{annotator}/{file}",
        environment=environment,
        annotator=STUDY.annotators_of(environment),
        file=["labels.parquet", "card.json"],
    )
]
FIGURES = expand("<results>/figures/{figure}.{suffix}", figure=DRAWN, suffix=["pdf", "png", "csv"])


def settings(stage):
    """The slice of the study that `stage` depends on, as text: the job is made again if, and only if, it changes."""

    def of(wildcards):
        names = {key: wildcards.get(key, "") for key in ("environment", "method", "annotator")}
        return json.dumps(slice_of(STUDY, stage, **names), sort_keys=True)

    return of


def run_cost(cost, stage):
    """`cost` (minutes or memory) of a run of `stage`."""
    return lambda wildcards: cost(STUDY, stage, wildcards.environment, wildcards.method)


def frame_cost(cost):
    """`cost` (minutes or memory) of a job over the frames of an environment."""
    return lambda wildcards: cost(STUDY, wildcards.environment)


def gpus(wildcards):
    """Graphics cards of a job: none for a study on the CPU."""
    return int(STUDY.settings[wildcards.environment].training.device != "cpu")


# Not a rule: a study with one more seed is another file, and what waits for that file must not be made again.
onstart:
    if set(workflow.dag_settings.targets) != {"published"}:
        record_study(STUDY, STUDY_FILE)
