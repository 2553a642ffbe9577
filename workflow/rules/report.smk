"""What is published: the table, the reports beside it, and the figures.

Figures are a rule of their own, so that none takes a table with it.
"""


rule render_table:
    """Write the table as Markdown, LaTeX and CSV, and the reports beside it."""
    input:
        expectation=EXPECTATION_FILE,
        manifest=rules.describe_model.output.manifest,
        runs=per_run(rules.benchmark.output.run),
        numbers=rules.aggregate.output.numbers,
    output:
        reports=[
            *(f"{EXPERIMENT}/{name}" for name in REPORTS),
            *(f"results/{name}" for name in REPORTS if name.startswith("table.")),
        ],
    log:
        f"{EXPERIMENT}/logs/render_table.log",
    benchmark:
        f"{EXPERIMENT}/job_times/render_table.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("render_table.py", *modules_of(REPORTS)),
        flags=flags,
    message:
        "Rendering the table"
    shell:
        job("render_table.py")


rule draw_figures:
    """Draw the figures."""
    input:
        expectation=EXPECTATION_FILE,
        manifest=rules.describe_model.output.manifest,
        runs=per_run(rules.benchmark.output.run),
        numbers=rules.aggregate.output.numbers,
    output:
        figures=[
            file
            for name in FIGURES
            for file in multiext(
                f"{EXPERIMENT}/figures/{name}", ".svg", ".pdf", ".png"
            )
        ],
    log:
        f"{EXPERIMENT}/logs/draw_figures.log",
    benchmark:
        f"{EXPERIMENT}/job_times/draw_figures.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("draw_figures.py", *modules_of(FIGURES)),
        flags=flags,
    message:
        "Drawing the figures"
    shell:
        job("draw_figures.py")
