"""From runs to numbers: what the runs are and what they computed is checked, then they are averaged.

If a check fails, nothing is published and the last table is deleted, until the check passes.
"""


rule verify_weights:
    """Check that the measured weights are the described ones, byte for byte."""
    input:
        # Once all is measured: what a run used may have changed until then.
        per_run(rules.benchmark.output.run),
        weights=rules.store_weights.output[0],
        manifest=rules.describe_model.output.manifest,
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
        flags=flags,
        withdraw=WITHDRAWN,
    message:
        "Verifying that the weights are still those that were described"
    shell:
        job("verify_weights.py", "--withdraw {params.withdraw:q}")


rule aggregate:
    """Check the runs and that all modes computed the same, and summarise them."""
    input:
        rules.verify_weights.output.fingerprint,
        agreement=rules.check_model.output.agreement,
        expected=rules.check_model.output.expected,
        expectation=EXPECTATION_FILE,
        manifest=rules.describe_model.output.manifest,
        prompt=rules.make_prompt.output.prompt,
        runs=per_run(rules.benchmark.output.run),
        logits=per_run(rules.benchmark.output.logits),
        captures=per_run(rules.benchmark.output.capture),
        traffic=per_run(rules.parse_capture.output.traffic),
        turns=per_run(rules.parse_capture.output.turns),
    output:
        numbers=[
            f"{EXPERIMENT}/{name}.csv"
            for name in (
                *("counts", "repeats", "summary", "comparisons", "claims"),
                *("clocks", "same_work", "budgets", "answer"),
            )
        ],
        built_from=BUILT_FROM,
    log:
        f"{EXPERIMENT}/logs/aggregate.log",
    benchmark:
        f"{EXPERIMENT}/job_times/aggregate.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("aggregate.py", *PREDICTING),
        flags=flags,
        withdraw=WITHDRAWN,
    message:
        "Checking the runs and that all modes computed the same, and summarising"
    shell:
        job("aggregate.py", "--withdraw {params.withdraw:q}")
