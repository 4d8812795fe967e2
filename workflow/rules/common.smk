"""The study, validated before anything else; names and numbers that the rules share."""

import json
import os
import re
import sys
from pathlib import Path

from sensei.analysis.figures import FIGURES as KNOWN_FIGURES, check as check_figures, inputs as figure_inputs
from sensei.config import load_study
from sensei.errors import SenseiError
from sensei.manifest import fingerprint
from sensei.study import check_folder, slice_of

SOURCE = " + ".join(os.path.relpath(path) for path in workflow.configfiles) or "the command line"
try:
    STUDY = load_study(config, source=SOURCE)
    check_figures(STUDY.figures)
    check_folder(STUDY, f"results/{STUDY.study}/study.yaml", SOURCE)
except SenseiError as error:
    sys.exit(f"Error: {error}")  # SystemExit, because Snakemake prints the traceback of any other exception

# `python` in a rule is the one that runs Snakemake, unless the rule's own software environment puts another before it.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


pathvars:
    results=f"results/{STUDY.study}",


wildcard_constraints:
    environment="|".join(map(re.escape, STUDY.settings)),
    annotator="|".join(map(re.escape, STUDY.annotator_settings)),
    method="|".join(map(re.escape, STUDY.methods)),
    task="|".join(re.escape(parts.environment.task) for parts in STUDY.settings.values()),
    figure="|".join(KNOWN_FIGURES),
    seed=r"\d+",
    shard=r"\d+",


AXES = {"environment": STUDY.environments, "seed": STUDY.seeds}
EXPLORE_RUN = "<results>/{environment}/explore/{method}/seed{seed}"
LEARN_RUN = "<results>/{environment}/learn/{task}/{method}/seed{seed}"
EXPLORE_RUNS = expand(EXPLORE_RUN, method=STUDY.explore, **AXES)
LEARN_RUNS = [
    run
    for environment in STUDY.environments
    for run in expand(
        LEARN_RUN,
        environment=environment,
        task=STUDY.settings[environment].environment.task,
        method=STUDY.learn,
        seed=STUDY.seeds,
    )
]
RUNS = expand("{run}/agent.pt", run=EXPLORE_RUNS + LEARN_RUNS)
LABELS = expand(
    "<results>/{environment}/labels/{annotator}/{file}",
    environment=STUDY.environments,
    annotator=STUDY.annotators,
    file=["labels.parquet", "card.json"],
)
FIGURES = expand("<results>/figures/{figure}.pdf", figure=STUDY.figures)


def settings(stage):
    """The slice of the study that `stage` depends on, as text: the job is made again if, and only if, it changes."""

    def of(wildcards):
        names = {key: wildcards.get(key, "") for key in ("environment", "method", "annotator")}
        return json.dumps(slice_of(STUDY, stage, **names), sort_keys=True)

    return of


def steps(wildcards, stage):
    """Agent steps of a run."""
    training = STUDY.settings[wildcards.environment].training
    if stage == "explore":
        return training.explore_steps
    ppo = STUDY.methods[wildcards.method].algorithm == "ppo"
    return training.ppo_steps if ppo and training.ppo_steps else training.learn_steps


def run_minutes(stage):
    """Time limit of a run: half a second an update, two milliseconds a step, and half an hour. A run that hits it resumes."""

    def of(wildcards):
        training = STUDY.settings[wildcards.environment].training
        updates = steps(wildcards, stage) * training.train_ratio / (training.batch_size * training.batch_length)
        dreamer = STUDY.methods[wildcards.method].algorithm == "dreamer"
        return int(30 + (steps(wildcards, stage) * 0.002 + updates * 0.5 * dreamer) / 60)

    return of


def run_memory(stage):
    """Memory of a run in MB: the replay, twice over (the file cache holds it too), and 4 GB for the rest."""

    def of(wildcards):
        parts = STUDY.settings[wildcards.environment]
        pixels = 3 * parts.world_model.image_size**2
        kept = min(steps(wildcards, stage), parts.training.replay_capacity)
        return 4000 + 2 * pixels * kept // 10**6

    return of


def gpus(wildcards):
    """Graphics cards of a job: none for a study on the CPU."""
    return int(STUDY.settings[wildcards.environment].training.device != "cpu")


rule study:
    output:
        study="<results>/study.yaml",
    log:
        "<results>/study.log",
    localrule: True
    conda:
        "../../envs/sensei.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        study=json.dumps(config, sort_keys=True),
    message:
        "Resolving the study"
    shell:
        "printf '%s' {params.study:q} | python -m sensei study - {output.study} > {log} 2>&1"
