"""The reward model, one per environment and annotator; more of them, from parts of the labels, for one figure."""


rule distil:
    input:
        labels=rules.merge.output.labels,
        pairs=rules.pairs.output.pairs,
        frames=rules.pairs.output.frames,
        verdict=ancient(rules.trust.output.verdict),  # other limits are a new verdict, but no other labels
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
        code=code_of("distil"),
        settings=settings("distil"),
        share=1,
    message:
        "Distilling the reward of {wildcards.annotator} for {wildcards.environment}"
    shell:
        "python -m sensei distil --study {STUDY_FILE} --environment {wildcards.environment} --annotator {wildcards.annotator}"
        " --labels {input.labels} --pairs {input.pairs} --frames {input.frames} --model {output.model}"
        " --curves {output.curves} --card {output.card} --share {params.share} --threads {threads} > {log} 2>&1"


use rule distil as distil_part with:
    output:
        model="<results>/{environment}/reward/{annotator}/share{share}/reward.safetensors",
        curves="<results>/{environment}/reward/{annotator}/share{share}/curves.csv",
        card="<results>/{environment}/reward/{annotator}/share{share}/card.json",
    log:
        "<results>/{environment}/reward/{annotator}/share{share}/distil.log",
    params:
        code=code_of("distil"),
        settings=settings("distil"),
        share="{share}",
    message:
        "Distilling the reward of {wildcards.annotator} for {wildcards.environment} from {wildcards.share} of the labels"
