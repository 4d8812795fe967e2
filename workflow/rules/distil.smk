"""The reward model, one per environment and annotator."""


rule distil:
    input:
        labels=rules.merge.output.labels,
        pairs=rules.pairs.output.pairs,
        frames=rules.pairs.output.frames,
    output:
        model="<results>/{environment}/reward/{annotator}/reward.safetensors",
        curves="<results>/{environment}/reward/{annotator}/curves.csv",
        card="<results>/{environment}/reward/{annotator}/card.json",
    log:
        "<results>/{environment}/reward/{annotator}/distil.log",
    priority: 30
    conda:
        "../../envs/sensei.yaml"
    threads: 1
    resources:
        mem_mb=frame_cost(frames_memory),
        runtime=240,
        gpu=gpus,
    params:
        code=fingerprint("distil"),
        settings=settings("distil"),
    message:
        "Distilling the reward of {wildcards.annotator} for {wildcards.environment}"
    shell:
        "python -m sensei distil --study {STUDY_FILE} --environment {wildcards.environment} --annotator {wildcards.annotator}"
        " --labels {input.labels} --pairs {input.pairs} --frames {input.frames} --model {output.model}"
        " --curves {output.curves} --card {output.card} --threads {threads} > {log} 2>&1"
