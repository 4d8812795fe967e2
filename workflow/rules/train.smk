"""Runs that train: exploration without reward, then the task. Their checkpoints are no outputs: a failed job loses its outputs."""

TOLD_IN_TIME = "--signal=TERM@120"  # two minutes before its time is up a run saves its state and ends; the next job goes on


rule explore:
    input:
        unpack(inputs(STAGES["explore"])),
    output:
        **outputs(STAGES["explore"], on_the_page("Exploration")),
    log:
        log_of(STAGES["explore"]),
    priority: 20
    conda:
        "../../envs/minihack.yaml"
    threads: 1
    resources:
        mem_mb=limits(STAGES["explore"], "memory"),
        runtime=limits(STAGES["explore"], "minutes"),
        gpu=gpus,
        slurm_extra=TOLD_IN_TIME,
    params:
        code=code(STAGES["explore"]),
        settings=settings(STAGES["explore"]),
    message:
        "{wildcards.method} explores {wildcards.environment}, seed {wildcards.seed}"
    shell:
        command(STAGES["explore"])


rule learn:
    input:
        unpack(inputs(STAGES["learn"])),
    output:
        **outputs(STAGES["learn"], on_the_page("Task")),
    log:
        log_of(STAGES["learn"]),
    priority: 10
    conda:
        "../../envs/minihack.yaml"
    threads: 1
    resources:
        mem_mb=limits(STAGES["learn"], "memory"),
        runtime=limits(STAGES["learn"], "minutes"),
        gpu=gpus,
        slurm_extra=TOLD_IN_TIME,
    params:
        code=code(STAGES["learn"]),
        settings=settings(STAGES["learn"]),
    message:
        "{wildcards.method} learns {wildcards.task}, seed {wildcards.seed}"
    shell:
        command(STAGES["learn"])
