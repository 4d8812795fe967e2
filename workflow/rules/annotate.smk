"""Labels: shards of raw replies, in parallel, merged into one row a pair."""


rule annotate:
    input:
        pairs=rules.pairs.output.pairs,
        frames=rules.pairs.output.frames,
    output:
        replies="<results>/{environment}/labels/{annotator}/shard{shard}.jsonl",
    log:
        "<results>/{environment}/labels/{annotator}/shard{shard}.log",
    priority: 30
    conda:
        "../../envs/sensei.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        code=fingerprint("annotate"),
        settings=settings("annotate"),
    message:
        "{wildcards.annotator} answers shard {wildcards.shard} of {wildcards.environment}"
    shell:
        "python -m sensei annotate --study {STUDY_FILE} --environment {wildcards.environment}"
        " --annotator {wildcards.annotator} --shard {wildcards.shard} --pairs {input.pairs} --frames {input.frames}"
        " --output {output.replies} > {log} 2>&1"


rule merge:
    input:
        pairs=rules.pairs.output.pairs,
        shards=lambda wildcards: expand(
            rules.annotate.output.replies, shard=range(STUDY.settings[wildcards.environment].pairs.shards), allow_missing=True
        ),
    output:
        labels="<results>/{environment}/labels/{annotator}/labels.parquet",
        card="<results>/{environment}/labels/{annotator}/card.json",
    log:
        "<results>/{environment}/labels/{annotator}/labels.log",
    priority: 30
    conda:
        "../../envs/sensei.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=fingerprint("labels"),
        shards=lambda wildcards, input: " ".join(f"--shard {path}" for path in input.shards),
    message:
        "Labels of {wildcards.annotator} for {wildcards.environment}"
    shell:
        "python -m sensei labels {params.shards} --pairs {input.pairs} --labels {output.labels} --card {output.card}" " > {log} 2>&1"
