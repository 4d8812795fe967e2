"""Labels: shards of raw replies, in parallel, merged into one row a pair, and a gate that only good ones pass."""

LABEL_FOLDER = "<results>/{environment}/labels/{annotator}"


def annotator_files(wildcards):
    """What the annotator reads besides the pairs: a model that is trained for it, or the user's labels."""
    options = STUDY.annotator_settings[wildcards.annotator]
    return annotator_class(options.kind).sources(options, LabelFiles(Path(LABEL_FOLDER.format(**wildcards))))


rule caption_clip:
    input:
        pairs=rules.pairs.output.pairs,
        frames=rules.pairs.output.frames,
    output:
        [LabelFiles(Path(LABEL_FOLDER)).model.config, LabelFiles(Path(LABEL_FOLDER)).model.weights, LabelFiles(Path(LABEL_FOLDER)).model.card],
    log:
        f"{LABEL_FOLDER}/model/train.log",
    priority: 30
    conda:
        "../../envs/minihack.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code_of("caption-clip"),
        settings=settings("caption-clip"),
        folder=subpath(output[0], parent=True),
    message:
        "{wildcards.annotator} learns what pictures of {wildcards.environment} show"
    shell:
        "python -m sensei caption-clip --study {STUDY_FILE} --environment {wildcards.environment}"
        " --annotator {wildcards.annotator} --pairs {input.pairs} --frames {input.frames} --folder {params.folder}"
        " --threads {threads} > {log} 2>&1"


rule annotate:
    input:
        pairs=rules.pairs.output.pairs,
        frames=rules.pairs.output.frames,
        own=annotator_files,
    output:
        replies=f"{LABEL_FOLDER}/shard{{shard}}.jsonl",
    log:
        f"{LABEL_FOLDER}/shard{{shard}}.log",
    priority: 30
    conda:
        "../../envs/sensei.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        code=code_of("annotate"),
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
        labels=f"{LABEL_FOLDER}/labels.parquet",
        card=f"{LABEL_FOLDER}/card.json",
    log:
        f"{LABEL_FOLDER}/labels.log",
    priority: 30
    conda:
        "../../envs/sensei.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=code_of("labels"),
        settings=settings("labels"),
        shards=lambda wildcards, input: " ".join(f"--shard {path}" for path in input.shards),
    message:
        "Labels of {wildcards.annotator} for {wildcards.environment}"
    shell:
        "python -m sensei labels --study {STUDY_FILE} --environment {wildcards.environment} {params.shards}"
        " --pairs {input.pairs} --labels {output.labels} --card {output.card} > {log} 2>&1"


rule trust:
    input:
        card=rules.merge.output.card,
    output:
        verdict=f"{LABEL_FOLDER}/trust.json",
    log:
        f"{LABEL_FOLDER}/trust.log",
    priority: 30
    localrule: True
    conda:
        "../../envs/sensei.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_of("trust"),
        settings=settings("trust"),
    message:
        "Are the labels of {wildcards.annotator} for {wildcards.environment} good enough?"
    shell:
        "python -m sensei trust --study {STUDY_FILE} --environment {wildcards.environment} --annotator {wildcards.annotator}"
        " --card {input.card} --verdict {output.verdict} > {log} 2>&1"
