"""What it costs not to know what a tensor means when the GPU is across a network.

    snakemake --cores 1 results/table.md

This file is the table of contents; each step is a file in workflow/rules/.
"""

# A file that is given stands for itself: what it leaves out has its default.
if not workflow.overwrite_configfiles:

    configfile: f"{workflow.current_basedir}/config/default.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/model.smk"
include: "workflow/rules/server.smk"
include: "workflow/rules/benchmark.smk"
include: "workflow/rules/traffic.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/verify.smk"
include: "workflow/rules/page.smk"
include: "workflow/rules/link.smk"


onstart:
    RUN_LOCK.acquire()
    refuse_what_cannot_run()


onsuccess:
    stop_server()


onerror:
    stop_server()


localrules:
    all,


rule all:
    """Build the table from what is there, measuring what is missing."""
    default_target: True
    input:
        "results/table.md",
