"""Frames to compare: the collector's exploration runs are the data, nothing is played twice."""


rule collect:
    input:
        unpack(inputs(STAGES["collect"])),
    output:
        **outputs(STAGES["collect"]),
    log:
        log_of(STAGES["collect"]),
    priority: 30
    conda:
        "../../envs/sensei.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=code(STAGES["collect"]),
        settings=settings(STAGES["collect"]),
    message:
        "Gathering episodes of {wildcards.environment}, seed {wildcards.seed}"
    shell:
        command(STAGES["collect"])


rule pairs:
    input:
        unpack(inputs(STAGES["pairs"])),
    output:
        **outputs(STAGES["pairs"]),
    log:
        log_of(STAGES["pairs"]),
    priority: 30
    conda:
        "../../envs/minihack.yaml"
    threads: frame_cost(pairs_processes)
    resources:
        mem_mb=8000,
        runtime=frame_cost(pairs_minutes),
    params:
        code=code(STAGES["pairs"]),
        settings=settings(STAGES["pairs"]),
    message:
        "Pairing frames of {wildcards.environment}"
    shell:
        command(STAGES["pairs"])
