"""From finished runs to a table, figures and one page."""


rule tabulate:
    input:
        Inputs(scores.inputs(STUDY, FILES)).paths(),
    output:
        scores="<results>/scores.parquet",
    log:
        "<results>/tabulate.log",
    localrule: True
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code_of("tabulate"),
        settings=settings("tabulate"),
    message:
        "Tabulating every run"
    shell:
        "python -m sensei tabulate --study {STUDY_FILE} --output {output.scores} > {log} 2>&1"


rule figure:
    input:
        lambda wildcards: Inputs(DRAWN[wildcards.figure].inputs(STUDY, FILES)).paths(),
    output:
        pdf="<results>/figures/{figure}.pdf",
        png=report(
            "<results>/figures/{figure}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        csv="<results>/figures/{figure}.csv",
    log:
        "<results>/figures/{figure}.log",
    localrule: True
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        code=code_of("figure"),
        settings=settings("figure"),
    message:
        "Drawing {wildcards.figure}"
    shell:
        "python -m sensei figure --study {STUDY_FILE} --name {wildcards.figure} > {log} 2>&1"


rule tables:
    input:
        Inputs(study_tables.inputs(STUDY, FILES)).paths(),
    output:
        [path for name in study_tables.TABLES for path in FILES.table(name)],
    log:
        "<results>/tables/tables.log",
    localrule: True
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code_of("tables"),
        settings=settings("tables"),
    message:
        "Tables of final numbers"
    shell:
        "python -m sensei tables --study {STUDY_FILE} > {log} 2>&1"


rule report:
    input:
        Inputs(report_page.inputs(STUDY, FILES)).paths(),
    output:
        page="<results>/report.html",
    log:
        "<results>/report.log",
    localrule: True
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code_of("report"),
        settings=settings("report"),
    message:
        "One page with everything: {output.page}"
    shell:
        "python -m sensei report --study {STUDY_FILE} --output {output.page} > {log} 2>&1"


rule published:
    output:
        expand("results/published/fig{number}.{suffix}", number=list(published()), suffix=["pdf", "png", "csv"]),
    log:
        "results/published/published.log",
    localrule: True
    conda:
        "../../envs/figures.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code_of("published"),
        folder=subpath(output[0], parent=True),
    message:
        "Figures of the paper from the published values"
    shell:
        "python -m sensei published --folder {params.folder} > {log} 2>&1"
