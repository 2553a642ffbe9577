"""From runs to numbers: what the runs are and what they computed is checked, then they are averaged.

What fails a check is not published: the table of before is withdrawn, until the check is passed.
"""


rule verify_weights:
    input:
        weights=f"{WEIGHTS}/weights",
        manifest=f"{EXPERIMENT}/model/manifest.json",
        # Once all is measured: what a run used may have changed until then.
        runs=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json"),
    output:
        fingerprint=f"{EXPERIMENT}/model/verified.txt",
    log:
        f"{EXPERIMENT}/logs/verify_weights.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("verify_weights.py"),
        withdraw=PUBLISHED,
    message:
        "Verifying that the weights are still those that were described"
    shell:
        "python scripts/verify_weights.py --weights {input.weights:q} --manifest {input.manifest:q}"
        " --fingerprint {output.fingerprint:q} --withdraw {params.withdraw:q} --log {log:q}"


rule aggregate:
    input:
        expectation=EXPECTATION_FILE,
        manifest=f"{EXPERIMENT}/model/manifest.json",
        prompt=f"{EXPERIMENT}/model/prompt.json",
        verified=f"{EXPERIMENT}/model/verified.txt",
        runs=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json"),
        logits=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.logits.npy"),
        captures=per_run(f"{EXPERIMENT}/captures/{{mode}}/rep{{repeat}}.pcap"),
        traffic=per_run(f"{EXPERIMENT}/traffic/{{mode}}/rep{{repeat}}.csv"),
    output:
        repeats=f"{EXPERIMENT}/repeats.csv",
        summary=f"{EXPERIMENT}/summary.csv",
        built_from=BUILT_FROM,
    log:
        f"{EXPERIMENT}/logs/aggregate.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("aggregate.py"),
        withdraw=PUBLISHED,
    message:
        "Checking the runs and that all modes computed the same, and summarising"
    shell:
        "python scripts/aggregate.py --expectation {input.expectation:q}"
        " --manifest {input.manifest:q} --prompt {input.prompt:q} --runs {input.runs:q}"
        " --logits {input.logits:q} --captures {input.captures:q} --traffic {input.traffic:q}"
        " --repeats {output.repeats:q}"
        " --summary {output.summary:q} --built-from {output.built_from:q}"
        " --withdraw {params.withdraw:q} --log {log:q}"
