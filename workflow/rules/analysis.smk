"""From runs to numbers: what the runs are and what they computed is checked, then they are averaged.

What fails a check is not published: the table of before is withdrawn, until the check is passed.
"""


rule verify_weights:
    """Check that the measured weights are the described ones, byte for byte."""
    input:
        weights=rules.store_weights.output[0],
        manifest=rules.describe_model.output.manifest,
        # Once all is measured: what a run used may have changed until then.
        runs=per_run(rules.benchmark.output.run),
    output:
        fingerprint=f"{EXPERIMENT}/model/verified.txt",
    log:
        f"{EXPERIMENT}/logs/verify_weights.log",
    benchmark:
        f"{EXPERIMENT}/job_times/verify_weights.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("verify_weights.py"),
        withdraw=PUBLISHED,
    message:
        "Verifying that the weights are still those that were described"
    shell:
        'python "$SEMGAP_SCRIPTS/verify_weights.py" --weights {input.weights:q} --manifest {input.manifest:q}'
        " --fingerprint {output.fingerprint:q} --withdraw {params.withdraw:q} --log {log:q}"


rule aggregate:
    """Check the runs and that all modes computed the same, and summarise them."""
    input:
        expectation=EXPECTATION_FILE,
        manifest=rules.describe_model.output.manifest,
        prompt=rules.make_prompt.output.prompt,
        agreement=rules.check_model.output.agreement,
        verified=rules.verify_weights.output.fingerprint,
        runs=per_run(rules.benchmark.output.run),
        logits=per_run(rules.benchmark.output.logits),
        captures=per_run(rules.benchmark.output.capture),
        traffic=per_run(rules.parse_capture.output.traffic),
        recorded=RECORDED,
    output:
        counts=f"{EXPERIMENT}/counts.csv",
        repeats=f"{EXPERIMENT}/repeats.csv",
        summary=f"{EXPERIMENT}/summary.csv",
        comparisons=f"{EXPERIMENT}/comparisons.csv",
        claims=f"{EXPERIMENT}/claims.csv",
        versus=f"{EXPERIMENT}/versus-reference.csv",
        built_from=BUILT_FROM,
    log:
        f"{EXPERIMENT}/logs/aggregate.log",
    benchmark:
        f"{EXPERIMENT}/job_times/aggregate.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("aggregate.py", *PREDICTING),
        withdraw=PUBLISHED,
    message:
        "Checking the runs and that all modes computed the same, and summarising"
    shell:
        'python "$SEMGAP_SCRIPTS/aggregate.py" --expectation {input.expectation:q}'
        " --manifest {input.manifest:q} --prompt {input.prompt:q} --runs {input.runs:q}"
        " --logits {input.logits:q} --captures {input.captures:q} --traffic {input.traffic:q}"
        " --counts {output.counts:q} --repeats {output.repeats:q}"
        " --summary {output.summary:q} --comparisons {output.comparisons:q}"
        ' --reference "$SEMGAP_SCRIPTS/../results/reference"'
        " --claims {output.claims:q} --versus {output.versus:q}"
        " --built-from {output.built_from:q}"
        " --withdraw {params.withdraw:q} --log {log:q}"
