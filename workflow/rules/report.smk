"""What is published: the table as Markdown, LaTeX and unrounded CSV."""


rule experiment_table:
    input:
        summary=f"{EXPERIMENT}/summary.csv",
        manifest=f"{EXPERIMENT}/model/manifest.json",
        runs=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json"),
    output:
        markdown=report(
            f"{EXPERIMENT}/table.md",
            category="Table",
            caption="../report/table.rst",
        ),
        csv=f"{EXPERIMENT}/table.csv",
        tex=f"{EXPERIMENT}/table.tex",
    log:
        f"{EXPERIMENT}/logs/experiment_table.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("render_table.py"),
        labels=shlex.quote(json.dumps(labels())),
    message:
        "Rendering the table"
    shell:
        "python scripts/render_table.py --summary {input.summary:q} --manifest {input.manifest:q}"
        " --runs {input.runs:q} --labels {params.labels} --csv {output.csv:q}"
        " --tex {output.tex:q} --markdown {output.markdown:q} --log {log:q}"


rule active_table:
    input:
        markdown=f"{EXPERIMENT}/table.md",
        csv=f"{EXPERIMENT}/table.csv",
        tex=f"{EXPERIMENT}/table.tex",
    output:
        markdown="results/table.md",
        csv="results/table.csv",
        tex="results/table.tex",
    log:
        f"{EXPERIMENT}/logs/active_table.log",
    conda:
        ENVIRONMENT
    params:
        experiment=CONFIG.experiment,
    message:
        "Publishing the table of {params.experiment}"
    shell:
        "(cp {input.markdown:q} {output.markdown:q} && cp {input.csv:q} {output.csv:q}"
        " && cp {input.tex:q} {output.tex:q}) 2> {log:q}"
