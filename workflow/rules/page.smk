"""One page with all reports and figures, for whoever asks: `make report`."""


localrules:
    page,


# The link's own benchmark takes minutes, so it is on the page where it was made.
LINK_REPORTS = [
    file
    for name in ("transport.md", "transport.svg", "overhead.md")
    for file in (f"{EXPERIMENT}/{name}",)
    if Path(file).exists()
]


rule render_page:
    """Draw the figures and put all reports on one page that opens offline."""
    input:
        expectation=EXPECTATION_FILE,
        repeats=rules.aggregate.output.repeats,
        summary=rules.aggregate.output.summary,
        counts=rules.aggregate.output.counts,
        table=rules.render_table.output.markdown,
        claims=rules.render_table.output.claims,
        versus=rules.render_table.output.versus,
        traffic=rules.render_table.output.traffic,
        statistics=rules.render_table.output.statistics,
        time_line=rules.draw_figures.output.time_line,
        provenance=rules.render_table.output.provenance,
        link=LINK_REPORTS,
    output:
        latencies=report(
            multiext(f"{EXPERIMENT}/figures/latencies", ".svg", ".pdf", ".png"),
            category="Figures",
            caption="../report/latencies.rst",
        ),
        traffic=report(
            multiext(f"{EXPERIMENT}/figures/traffic", ".svg", ".pdf", ".png"),
            category="Figures",
            caption="../report/traffic_classes.rst",
        ),
        page=report(
            f"{EXPERIMENT}/page.html",
            category="All on one page",
            caption="../report/page.rst",
        ),
    log:
        f"{EXPERIMENT}/logs/render_page.log",
    benchmark:
        f"{EXPERIMENT}/job_times/render_page.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("render_page.py"),
        link=lambda wildcards, input: (
            shlex.join(["--link", *input.link]) if input.link else ""
        ),
    message:
        "Drawing the figures and putting all reports on one page"
    shell:
        'python "$SEMGAP_SCRIPTS/render_page.py" --expectation {input.expectation:q}'
        " --repeats {input.repeats:q} --summary {input.summary:q} --counts {input.counts:q}"
        " --table {input.table:q} --claims {input.claims:q} --versus {input.versus:q}"
        " --traffic {input.traffic:q} --statistics {input.statistics:q}"
        " --time-line {input.time_line:q} --provenance {input.provenance:q} {params.link}"
        " --latency-figures {output.latencies:q} --traffic-figures {output.traffic:q}"
        " --page {output.page:q} --log {log:q}"


rule page:
    """Build the table and the page."""
    input:
        "results/table.md",
        rules.render_page.output.page,
