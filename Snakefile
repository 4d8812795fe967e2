"""SENSEI: semantically guided exploration, from environment steps to figures. See README.md."""

from snakemake.utils import min_version

from sensei.study.layout import CONFIG_FOLDER

min_version("9.0")


# A study is complete: without this test Snakemake would lay a --configfile over the laptop study instead of taking it alone.
if not workflow.overwrite_configfiles:

    configfile: CONFIG_FOLDER / "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/annotate.smk"
include: "workflow/rules/distil.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/own.smk"


rule all:
    default_target: True
    input:
        rules.report.output,
        rules.tables.output,
        FIGURES,
        OWN,


rule figures:
    input:
        FIGURES,


rule labels:
    input:
        LABELS,


rule train_all:
    input:
        RUNS,
