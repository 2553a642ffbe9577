"""What is published: the table as Markdown, LaTeX and CSV with every quantity."""


rule render_table:
    """Render the table as Markdown, LaTeX and CSV."""
    input:
        expectation=EXPECTATION_FILE,
        summary=rules.aggregate.output.summary,
        comparisons=rules.aggregate.output.comparisons,
        counts=rules.aggregate.output.counts,
        claims=rules.aggregate.output.claims,
        versus=rules.aggregate.output.versus,
        manifest=rules.describe_model.output.manifest,
        runs=per_run(rules.benchmark.output.run),
    output:
        markdown=report(
            f"{EXPERIMENT}/table.md",
            category="Table",
            caption="../report/table.rst",
        ),
        traffic=report(
            f"{EXPERIMENT}/traffic.md",
            category="Traffic",
            caption="../report/traffic.rst",
        ),
        statistics=report(
            f"{EXPERIMENT}/stats.md",
            category="Latency",
            caption="../report/statistics.rst",
        ),
        claims=report(
            f"{EXPERIMENT}/claims.md",
            category="Claims",
            caption="../report/claims.rst",
        ),
        versus=report(
            f"{EXPERIMENT}/versus-reference.md",
            category="Claims",
            caption="../report/versus.rst",
        ),
        provenance=report(
            f"{EXPERIMENT}/provenance.md",
            category="Provenance",
            caption="../report/provenance.rst",
        ),
        csv=f"{EXPERIMENT}/table.csv",
        tex=f"{EXPERIMENT}/table.tex",
        published_markdown="results/table.md",
        published_csv="results/table.csv",
        published_tex="results/table.tex",
    log:
        f"{EXPERIMENT}/logs/render_table.log",
    benchmark:
        f"{EXPERIMENT}/job_times/render_table.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("render_table.py"),
    message:
        "Rendering the table"
    shell:
        'python "$SEMGAP_SCRIPTS/render_table.py" --expectation {input.expectation:q}'
        " --summary {input.summary:q} --counts {input.counts:q} --manifest {input.manifest:q}"
        " --comparisons {input.comparisons:q}"
        " --claims {input.claims:q} --claims-report {output.claims:q}"
        " --versus {input.versus:q} --versus-report {output.versus:q}"
        " --statistics {output.statistics:q} --runs {input.runs:q} --traffic {output.traffic:q}"
        " --provenance {output.provenance:q}"
        " --csv {output.csv:q} {output.published_csv:q}"
        " --tex {output.tex:q} {output.published_tex:q}"
        " --markdown {output.markdown:q} {output.published_markdown:q} --log {log:q}"


rule draw_figures:
    """Draw where a step's time goes: a rule of its own, so that no figure takes a table with it."""
    input:
        expectation=EXPECTATION_FILE,
        # What the checks have refused is not drawn.
        summary=rules.aggregate.output.summary,
        runs=per_run(rules.benchmark.output.run),
    output:
        time_line=report(
            f"{EXPERIMENT}/time-line.svg",
            category="Latency",
            caption="../report/time_line.rst",
        ),
    log:
        f"{EXPERIMENT}/logs/draw_figures.log",
    benchmark:
        f"{EXPERIMENT}/job_times/draw_figures.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("draw_figures.py"),
    message:
        "Drawing where a step's time goes"
    shell:
        'python "$SEMGAP_SCRIPTS/draw_figures.py" --expectation {input.expectation:q}'
        " --runs {input.runs:q} --time-line {output.time_line:q} --log {log:q}"
