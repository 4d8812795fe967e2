"""Frames to compare: of the collector's exploration runs, nothing is played twice, or of episodes that an annotator brings."""


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
        mem_mb=limits(STAGES["collect"], "memory"),
        runtime=limits(STAGES["collect"], "minutes"),
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
    threads: lambda wildcards: pairs_processes(STUDY, wildcards.environment)
    resources:
        mem_mb=limits(STAGES["pairs"], "memory"),
        runtime=limits(STAGES["pairs"], "minutes"),
    params:
        code=code(STAGES["pairs"]),
        settings=settings(STAGES["pairs"]),
    message:
        "Pairing frames of {wildcards.environment}"
    shell:
        command(STAGES["pairs"])


rule own_pairs:
    input:
        unpack(inputs(STAGES["own-pairs"])),
    output:
        **outputs(STAGES["own-pairs"]),
    log:
        log_of(STAGES["own-pairs"]),
    wildcard_constraints:
        annotator="|".join(re.escape(name) for name in STUDY.annotator_settings if STUDY.own_pairs(name, 1)) or NOTHING,
    priority: 30
    conda:
        "../../envs/minihack.yaml"
    threads: lambda wildcards: pairs_processes(STUDY, wildcards.environment)
    resources:
        mem_mb=limits(STAGES["own-pairs"], "memory"),
        runtime=limits(STAGES["own-pairs"], "minutes"),
    params:
        code=code(STAGES["own-pairs"]),
        settings=settings(STAGES["own-pairs"]),
    message:
        "Pairing frames that {wildcards.annotator} brings to {wildcards.environment}"
    shell:
        command(STAGES["own-pairs"])
