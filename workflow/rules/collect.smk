"""Frames to compare: the collector's exploration runs are the data, nothing is played twice."""


rule collect:
    input:
        events=f"<results>/{{environment}}/explore/{STUDY.collector}/seed{{seed}}/events.parquet",
    output:
        index="<results>/{environment}/collect/seed{seed}/index.parquet",
    log:
        "<results>/{environment}/collect/seed{seed}/collect.log",
    priority: 30
    conda:
        "../../envs/sensei.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=code_of("collect"),
        run=subpath(input.events, parent=True),
    message:
        "Gathering episodes of {wildcards.environment}, seed {wildcards.seed}"
    shell:
        "python -m sensei collect --run {params.run} --output {output.index} --seed {wildcards.seed} > {log} 2>&1"


rule pairs:
    input:
        index=lambda wildcards: expand(
            rules.collect.output.index, seed=STUDY.settings[wildcards.environment].pairs.seeds, allow_missing=True
        ),
    output:
        pairs="<results>/{environment}/pairs/pairs.parquet",
        frames="<results>/{environment}/pairs/pairs.frames.npz",
    log:
        "<results>/{environment}/pairs/pairs.log",
    priority: 30
    conda:
        "../../envs/minihack.yaml"
    threads: frame_cost(pairs_processes)
    resources:
        mem_mb=8000,
        runtime=frame_cost(pairs_minutes),
    params:
        code=code_of("pairs"),
        settings=settings("pairs"),
        index=lambda wildcards, input: " ".join(f"--index {path}" for path in input.index),
    message:
        "Pairing frames of {wildcards.environment}"
    shell:
        "python -m sensei pairs --study {STUDY_FILE} --environment {wildcards.environment} {params.index}"
        " --pairs {output.pairs} --frames {output.frames} --processes {threads} > {log} 2>&1"
