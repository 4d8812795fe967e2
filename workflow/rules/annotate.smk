"""Labels: shards of raw replies, in parallel, merged into one row a pair, and a gate that only good ones pass."""


rule caption_clip:
    input:
        unpack(inputs(STAGES["caption-clip"])),
    output:
        **outputs(STAGES["caption-clip"]),
    log:
        log_of(STAGES["caption-clip"]),
    priority: 30
    conda:
        "../../envs/minihack.yaml"
    threads: 1
    resources:
        mem_mb=limits(STAGES["caption-clip"], "memory"),
        runtime=limits(STAGES["caption-clip"], "minutes"),
    params:
        code=code(STAGES["caption-clip"]),
        settings=settings(STAGES["caption-clip"]),
    message:
        "{wildcards.annotator} learns what pictures of {wildcards.environment} show"
    shell:
        command(STAGES["caption-clip"])


KINDS = {name: annotator_class(options.kind) for name, options in STUDY.annotator_settings.items()}
SERVERS = [re.escape(name) for name, kind in KINDS.items() if kind.asks_server]


rule annotate:
    input:
        unpack(inputs(STAGES["annotate"])),
    output:
        **outputs(STAGES["annotate"]),
    log:
        log_of(STAGES["annotate"]),
    wildcard_constraints:
        annotator="|".join(re.escape(name) for name, kind in KINDS.items() if not kind.asks_server) or NOTHING,
    priority: 30
    conda:
        "../../envs/sensei.yaml"
    threads: 1
    resources:
        mem_mb=limits(STAGES["annotate"], "memory"),
        runtime=limits(STAGES["annotate"], "minutes"),
        ledger=lambda wildcards: int(KINDS[wildcards.annotator].shares_ledger),
    params:
        code=code(STAGES["annotate"]),
        settings=settings(STAGES["annotate"]),
    message:
        "{wildcards.annotator} answers shard {wildcards.shard} of {wildcards.environment}"
    shell:
        command(STAGES["annotate"])


# Where the workflow was started, not on the nodes of a cluster: the ledger is one file that processes on one machine may share.
localrules:
    annotate_by_server,


use rule annotate as annotate_by_server with:
    wildcard_constraints:
        annotator="|".join(SERVERS) or NOTHING,


rule merge:
    input:
        unpack(inputs(STAGES["merge"])),
    output:
        **outputs(STAGES["merge"]),
    log:
        log_of(STAGES["merge"]),
    priority: 30
    conda:
        "../../envs/sensei.yaml"
    threads: 1
    resources:
        mem_mb=limits(STAGES["merge"], "memory"),
        runtime=limits(STAGES["merge"], "minutes"),
    params:
        code=code(STAGES["merge"]),
        settings=settings(STAGES["merge"]),
    message:
        "Labels of {wildcards.annotator} for {wildcards.environment}"
    shell:
        command(STAGES["merge"])


rule trust:
    input:
        unpack(inputs(STAGES["trust"])),
    output:
        **outputs(STAGES["trust"]),
    log:
        log_of(STAGES["trust"]),
    priority: 30
    localrule: True
    conda:
        "../../envs/sensei.yaml"
    threads: 1
    resources:
        mem_mb=limits(STAGES["trust"], "memory"),
        runtime=limits(STAGES["trust"], "minutes"),
    params:
        code=code(STAGES["trust"]),
        settings=settings(STAGES["trust"]),
    message:
        "Are the labels of {wildcards.annotator} for {wildcards.environment} good enough?"
    shell:
        command(STAGES["trust"])
