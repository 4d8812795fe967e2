"""From finished runs to a table, figures and one page."""


rule tabulate:
    input:
        metrics=expand("{run}/metrics.jsonl", run=LEARN_RUNS),
        events=expand("{run}/events.parquet", run=EXPLORE_RUNS),
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
        data=lambda wildcards: [f"<results>/{path}" for path in figure_inputs(wildcards.figure, STUDY)],
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
        stem=subpath(output.pdf, strip_suffix=".pdf"),
    message:
        "Drawing {wildcards.figure}"
    shell:
        "python -m sensei figure --study {STUDY_FILE} --name {wildcards.figure} --stem {params.stem} > {log} 2>&1"


rule tables:
    input:
        scores=rules.tabulate.output.scores,
        cards=[
            path
            for environment in STUDY.environments
            for path in expand(rules.distil.output.card, environment=environment, annotator=STUDY.annotators_of(environment))
        ],
    output:
        expand("<results>/tables/{table}.{suffix}", table=["interactions", "downstream", "reward_model"], suffix=["csv", "md"]),
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
        folder=subpath(output[0], parent=True),
    message:
        "Tables of final numbers"
    shell:
        "python -m sensei tables --study {STUDY_FILE} --folder {params.folder} > {log} 2>&1"


rule report:
    input:
        figures=FIGURES,
        tables=rules.tables.output,
        labels=LABELS,
        videos=expand("{run}/video.mp4", run=EXPLORE_RUNS + LEARN_RUNS),
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
        expand("results/published/fig{number}.{suffix}", number=list(PUBLISHED), suffix=["pdf", "png", "csv"]),
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
