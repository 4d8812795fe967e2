"""Stages that a study names itself, under `stages:`; one rule each."""

for called, stage in OWN_STAGES.items():

    rule:
        name:
            stage.name
        input:
            unpack(inputs(stage)),
        output:
            **outputs(stage),
        log:
            log_of(stage),
        conda:
            "../../envs/figures.yaml"
        threads: 1
        resources:
            mem_mb=limits(stage, "memory"),
            runtime=limits(stage, "minutes"),
        params:
            code=code(stage),
            settings=settings(stage),
        message:
            f"{called}"
        shell:
            command(stage, called)
