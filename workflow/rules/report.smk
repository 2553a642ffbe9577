"""What is published: the table in three forms, a figure, and where all of it comes from."""


rule experiment_table:
    input:
        summary=f"{EXPERIMENT}/summary.csv",
        comparisons=f"{EXPERIMENT}/comparisons.csv",
        claims=f"{EXPERIMENT}/claims.csv",
        manifest=f"{EXPERIMENT}/model/manifest.json",
        runs=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json"),
        logits=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.logits.npy"),
        traffic=per_run(f"{EXPERIMENT}/traffic/{{mode}}/rep{{repeat}}.csv"),
        conditions=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.machine.json"),
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
        "python scripts/render_table.py --summary {input.summary:q}"
        " --comparisons {input.comparisons:q} --claims {input.claims:q}"
        " --manifest {input.manifest:q} --runs {input.runs:q} --logits {input.logits:q}"
        " --traffic {input.traffic:q} --conditions {input.conditions:q}"
        " --labels {params.labels} --csv {output.csv:q} --tex {output.tex:q}"
        " --markdown {output.markdown:q} --log {log:q}"


rule time_line:
    input:
        runs=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json"),
        # Figures are drawn of runs that a table is built from.
        gate=f"{EXPERIMENT}/summary.csv",
    output:
        figures=report(
            multiext(f"{EXPERIMENT}/time-line", ".svg", ".png"),
            category="Figures",
            caption="../report/time-line.rst",
        ),
    log:
        f"{EXPERIMENT}/logs/time_line.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("plot_time_line.py"),
        labels=shlex.quote(json.dumps(labels())),
    message:
        "Drawing a step of each mode"
    shell:
        "python scripts/plot_time_line.py --runs {input.runs:q} --labels {params.labels}"
        " --figures {output.figures:q} --log {log:q}"


rule describe_table:
    input:
        table=f"{EXPERIMENT}/table.md",
        runs=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json"),
        origins=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.provenance.json"),
        config=f"{EXPERIMENT}/config.json",
    output:
        provenance=f"{EXPERIMENT}/provenance.json",
    log:
        f"{EXPERIMENT}/logs/describe_table.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("describe_table.py"),
    message:
        "Recording where the table comes from"
    shell:
        "python scripts/describe_table.py --config {input.config:q} --runs {input.runs:q}"
        " --origins {input.origins:q} --provenance {output.provenance:q} --log {log:q}"


rule active_table:
    input:
        markdown=f"{EXPERIMENT}/table.md",
        csv=f"{EXPERIMENT}/table.csv",
        tex=f"{EXPERIMENT}/table.tex",
        # No table is published without its evidence.
        evidence=multiext(
            f"{EXPERIMENT}/",
            "checks.md",
            "traffic.md",
            "stats.md",
            "claims.md",
            "versus-reference.md",
            "time-line.svg",
            "provenance.json",
        ),
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
