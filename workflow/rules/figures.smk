"""From finished runs to a table, figures and one page."""


rule tabulate:
    input:
        unpack(inputs(STAGES["tabulate"])),
    output:
        **outputs(STAGES["tabulate"]),
    log:
        log_of(STAGES["tabulate"]),
    localrule: True
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=limits(STAGES["tabulate"], "memory"),
        runtime=limits(STAGES["tabulate"], "minutes"),
    params:
        code=code(STAGES["tabulate"]),
        settings=settings(STAGES["tabulate"]),
    message:
        "Tabulating every run"
    shell:
        command(STAGES["tabulate"])


rule figure:
    input:
        unpack(inputs(STAGES["figure"])),
    output:
        **outputs(
            STAGES["figure"],
            {"png": lambda path: report(path, caption="../report/figure.rst", category="Figures", labels={"figure": "{figure}"})},
        ),
    log:
        log_of(STAGES["figure"]),
    localrule: True
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=limits(STAGES["figure"], "memory"),
        runtime=limits(STAGES["figure"], "minutes"),
    params:
        code=code(STAGES["figure"]),
        settings=settings(STAGES["figure"]),
    message:
        "Drawing {wildcards.figure}"
    shell:
        command(STAGES["figure"])


rule tables:
    input:
        unpack(inputs(STAGES["tables"])),
    output:
        **outputs(STAGES["tables"]),
    log:
        log_of(STAGES["tables"]),
    localrule: True
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=limits(STAGES["tables"], "memory"),
        runtime=limits(STAGES["tables"], "minutes"),
    params:
        code=code(STAGES["tables"]),
        settings=settings(STAGES["tables"]),
    message:
        "Tables of final numbers"
    shell:
        command(STAGES["tables"])


rule report:
    input:
        unpack(inputs(STAGES["report"])),
    output:
        **outputs(STAGES["report"]),
    log:
        log_of(STAGES["report"]),
    localrule: True
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=limits(STAGES["report"], "memory"),
        runtime=limits(STAGES["report"], "minutes"),
    params:
        code=code(STAGES["report"]),
        settings=settings(STAGES["report"]),
    message:
        "One page with everything: {output.page}"
    shell:
        command(STAGES["report"])


rule published:
    output:
        **outputs(STAGES["published"]),
    log:
        log_of(STAGES["published"]),
    localrule: True
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code(STAGES["published"]),
        settings=settings(STAGES["published"]),
    message:
        "Figures of the paper from the published values"
    shell:
        command(STAGES["published"])
