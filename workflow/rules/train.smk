"""Runs that train: exploration without reward, then the task. Their checkpoints are no outputs: a failed job loses its outputs."""


def reward_model(wildcards):
    """The distilled model of the method's annotator, for methods with a semantic reward."""
    if not STUDY.methods[wildcards.method].needs_reward_model:
        return []
    return f"<results>/{wildcards.environment}/reward/{STUDY.annotator_of(wildcards.method, wildcards.environment)}/reward.safetensors"


def explored_agent(wildcards):
    """The agent that a task run starts from, for methods that explore first."""
    return f"{EXPLORE_RUN}/agent.pt" if STUDY.methods[wildcards.method].explores else []


rule explore:
    input:
        reward=reward_model,
    output:
        metrics=f"{EXPLORE_RUN}/metrics.jsonl",
        events=f"{EXPLORE_RUN}/events.parquet",
        agent=f"{EXPLORE_RUN}/agent.pt",
        video=report(
            f"{EXPLORE_RUN}/video.mp4",
            caption="../report/video.rst",
            category="Exploration",
            labels={"environment": "{environment}", "method": "{method}", "seed": "{seed}"},
        ),
    log:
        f"{EXPLORE_RUN}/explore.log",
    priority: 20
    conda:
        "../../envs/minihack.yaml"
    threads: 1
    resources:
        mem_mb=run_cost(run_memory, "explore"),
        runtime=run_cost(run_minutes, "explore"),
        gpu=gpus,
    params:
        code=code_of("explore"),
        settings=settings("explore"),
        state=subpath(output.agent, parent=True),
        reward=lambda wildcards, input: f"--reward {input.reward}" if input.reward else "",
    message:
        "{wildcards.method} explores {wildcards.environment}, seed {wildcards.seed}"
    shell:
        "python -m sensei explore --study {STUDY_FILE} --environment {wildcards.environment} --method {wildcards.method}"
        " --seed {wildcards.seed} --folder {params.state} {params.reward} --threads {threads} > {log} 2>&1"


rule learn:
    input:
        explored=explored_agent,
    output:
        metrics=f"{LEARN_RUN}/metrics.jsonl",
        events=f"{LEARN_RUN}/events.parquet",
        agent=f"{LEARN_RUN}/agent.pt",
        video=report(
            f"{LEARN_RUN}/video.mp4",
            caption="../report/video.rst",
            category="Task",
            labels={"environment": "{environment}", "method": "{method}", "seed": "{seed}"},
        ),
    log:
        f"{LEARN_RUN}/learn.log",
    priority: 10
    conda:
        "../../envs/minihack.yaml"
    threads: 1
    resources:
        mem_mb=run_cost(run_memory, "learn"),
        runtime=run_cost(run_minutes, "learn"),
        gpu=gpus,
    params:
        code=code_of("learn"),
        settings=settings("learn"),
        state=subpath(output.agent, parent=True),
        explored=lambda wildcards, input: f"--explored {input.explored}" if input.explored else "",
    message:
        "{wildcards.method} learns {wildcards.task}, seed {wildcards.seed}"
    shell:
        "python -m sensei learn --study {STUDY_FILE} --environment {wildcards.environment} --task {wildcards.task}"
        " --method {wildcards.method} --seed {wildcards.seed} --folder {params.state} {params.explored} --threads {threads} > {log} 2>&1"
