"""What it costs not to know what a tensor means when the GPU is across a network.

    snakemake --cores 1 results/table.md

This file is the table of contents; each step is a file in workflow/rules/.
"""

from pathlib import Path

# This file may be reached by a link.
HERE = Path(workflow.snakefile).resolve().parent

# A file that is given stands for itself: what it leaves out has its default.
if not workflow.overwrite_configfiles:

    configfile: f"{HERE}/config/default.yaml"


include: f"{HERE}/workflow/rules/common.smk"
include: f"{HERE}/workflow/rules/model.smk"
include: f"{HERE}/workflow/rules/server.smk"
include: f"{HERE}/workflow/rules/benchmark.smk"
include: f"{HERE}/workflow/rules/traffic.smk"
include: f"{HERE}/workflow/rules/analysis.smk"
include: f"{HERE}/workflow/rules/report.smk"
include: f"{HERE}/workflow/rules/systems.smk"
include: f"{HERE}/workflow/rules/verify.smk"
include: f"{HERE}/workflow/rules/link.smk"
include: f"{HERE}/workflow/rules/page.smk"


onstart:
    hold_the_folder()
    say_what_is_left_out()
    refuse_what_cannot_run()


onsuccess:
    stop_server()


onerror:
    stop_server()
    say_why()


# A cluster's nodes may have no internet.
localrules:
    all,
    download_model,
    download_package,


rule all:
    """Build the table from what is there, measuring what is missing."""
    default_target: True
    input:
        "results/table.md",
        rules.draw_figures.output.figures,
        PEERS,
