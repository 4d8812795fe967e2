"""The reward model, one per environment and annotator; more of them, from parts of the labels, for one figure."""


rule distil:
    input:
        unpack(inputs(STAGES["distil"])),
        gate=gates(STAGES["distil"]),  # other limits are a new verdict, but no other labels
    output:
        **outputs(STAGES["distil"]),
    log:
        log_of(STAGES["distil"]),
    priority: 30
    conda:
        "../../envs/sensei.yaml"
    threads: 1
    resources:
        mem_mb=limits(STAGES["distil"], "memory"),
        runtime=limits(STAGES["distil"], "minutes"),
        gpu=gpus,
    params:
        code=code(STAGES["distil"]),
        settings=settings(STAGES["distil"]),
        share=1,
    message:
        "Distilling the reward of {wildcards.annotator} for {wildcards.environment}"
    shell:
        command(STAGES["distil"])


use rule distil as distil_part with:
    output:
        **outputs(STAGES["distil"], share="{share}"),
    log:
        log_of(STAGES["distil"], share="{share}"),
    params:
        code=code(STAGES["distil"]),
        settings=settings(STAGES["distil"]),
        share="{share}",
    message:
        "Distilling the reward of {wildcards.annotator} for {wildcards.environment} from {wildcards.share} of the labels"
