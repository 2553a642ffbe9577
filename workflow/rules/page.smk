"""Pages for whoever asks (`make report`): all reports and figures, and what the link can carry."""


localrules:
    report,


rule render_report:
    """Put all reports and figures on one page that opens offline."""
    input:
        files=[
            *(f"{EXPERIMENT}/{name}" for name in report_parts()),
            *PEERS,
            rules.compare_recorded.output.report,
        ],
    output:
        pages=[f"{EXPERIMENT}/report.html", "results/report.html"],
    log:
        f"{EXPERIMENT}/logs/render_report.log",
    benchmark:
        f"{EXPERIMENT}/job_times/render_report.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("render_report.py"),
        experiment=CONFIG.experiment,
        flags=flags,
    message:
        "Putting all reports on one page"
    shell:
        job("render_report.py", "--experiment {params.experiment}")


use rule render_report as render_link_page with:
    input:
        files=[
            rules.report_link.output.markdown,
            rules.report_link.output.figures[0],
            rules.report_overhead.output.markdown,
        ],
    output:
        pages=[f"{EXPERIMENT}/link.html"],
    log:
        f"{EXPERIMENT}/logs/render_link_page.log",
    benchmark:
        f"{EXPERIMENT}/job_times/render_link_page.tsv"
    message:
        "Putting the reports on the link on one page"


rule report:
    """Build the table and the report."""
    input:
        "results/table.md",
        rules.render_report.output.pages,
