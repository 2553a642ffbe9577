"""Pages for whoever asks (`make report`): all reports and figures, and what the link can carry."""


localrules:
    page,


rule render_page:
    """Put all reports and figures on one page that opens offline."""
    input:
        files=[
            *(f"{EXPERIMENT}/{name}" for name in REPORTS if name.endswith(".md")),
            rules.compare_recorded.output.report,
            *(f"{EXPERIMENT}/figures/{name}.svg" for name in FIGURES),
        ],
    output:
        page=shown(f"{EXPERIMENT}/page.html", "All on one page"),
    log:
        f"{EXPERIMENT}/logs/render_page.log",
    benchmark:
        f"{EXPERIMENT}/job_times/render_page.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("render_page.py"),
        experiment=CONFIG.experiment,
        flags=flags,
    message:
        "Putting all reports on one page"
    shell:
        job("render_page.py", "--experiment {params.experiment}")


use rule render_page as render_link_page with:
    input:
        files=[
            rules.report_link.output.markdown,
            rules.report_link.output.figures[0],
            rules.report_overhead.output.markdown,
        ],
    output:
        page=shown(f"{EXPERIMENT}/link.html", "Link"),
    log:
        f"{EXPERIMENT}/logs/render_link_page.log",
    benchmark:
        f"{EXPERIMENT}/job_times/render_link_page.tsv"
    message:
        "Putting the reports on the link on one page"


rule page:
    """Build the table and the page."""
    input:
        "results/table.md",
        rules.render_page.output.page,
