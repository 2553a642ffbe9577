"""From runs to numbers: the correctness gate, then means and deviations over repeats."""


rule aggregate:
    input:
        runs=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json"),
        logits=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.logits.npy"),
        traffic=per_run(f"{EXPERIMENT}/traffic/{{mode}}/rep{{repeat}}.csv"),
        utilisation=per_run(f"{EXPERIMENT}/utilisation/{{mode}}/rep{{repeat}}.csv"),
    output:
        repeats=f"{EXPERIMENT}/repeats.csv",
        summary=f"{EXPERIMENT}/summary.csv",
    log:
        f"{EXPERIMENT}/logs/aggregate.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("aggregate.py"),
    message:
        "Checking that all modes computed the same, and summarising"
    shell:
        "python scripts/aggregate.py --runs {input.runs:q} --logits {input.logits:q}"
        " --traffic {input.traffic:q} --utilisation {input.utilisation:q}"
        " --repeats {output.repeats:q} --summary {output.summary:q} --log {log:q}"
