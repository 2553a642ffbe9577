"""From runs to numbers: checks, the gate they are, statistics, claims, and recorded results."""


rule verify:
    input:
        runs=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json"),
        logits=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.logits.npy"),
        traffic=per_run(f"{EXPERIMENT}/traffic/{{mode}}/rep{{repeat}}.csv"),
        manifest=f"{EXPERIMENT}/model/manifest.json",
        prompt=f"{EXPERIMENT}/model/prompt.json",
    output:
        findings=f"{EXPERIMENT}/checks.csv",
        checks=report(
            f"{EXPERIMENT}/checks.md",
            category="Evidence",
            caption="../report/checks.rst",
        ),
        counts=f"{EXPERIMENT}/traffic.csv",
        traffic=report(
            f"{EXPERIMENT}/traffic.md",
            category="Evidence",
            caption="../report/traffic.rst",
        ),
    log:
        f"{EXPERIMENT}/logs/verify.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("verify.py"),
        policies=lambda wildcards: {mode: policy_value(mode) for mode in CONFIG.modes},
        settings=to_flags(experiment_settings()),
    message:
        "Verifying all runs"
    shell:
        "python scripts/verify.py --runs {input.runs:q} --logits {input.logits:q}"
        " --traffic {input.traffic:q} --manifest {input.manifest:q} --prompt {input.prompt:q}"
        " --findings {output.findings:q} --checks-report {output.checks:q}"
        " --counts {output.counts:q} --traffic-report {output.traffic:q}"
        " {params.settings} --log {log:q}"


rule aggregate:
    input:
        runs=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json"),
        traffic=per_run(f"{EXPERIMENT}/traffic/{{mode}}/rep{{repeat}}.csv"),
        findings=f"{EXPERIMENT}/checks.csv",
    output:
        repeats=f"{EXPERIMENT}/repeats.csv",
        summary=f"{EXPERIMENT}/summary.csv",
        comparisons=f"{EXPERIMENT}/comparisons.csv",
        stats=report(
            f"{EXPERIMENT}/stats.md",
            category="Statistics",
            caption="../report/stats.rst",
        ),
    log:
        f"{EXPERIMENT}/logs/aggregate.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("aggregate.py"),
    message:
        "Summarising and comparing the modes"
    shell:
        "python scripts/aggregate.py --runs {input.runs:q} --traffic {input.traffic:q}"
        " --findings {input.findings:q} --repeats {output.repeats:q} --summary {output.summary:q}"
        " --comparisons {output.comparisons:q} --stats {output.stats:q} --log {log:q}"


rule check_claims:
    input:
        runs=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json"),
        repeats=f"{EXPERIMENT}/repeats.csv",
        manifest=f"{EXPERIMENT}/model/manifest.json",
        claims="config/claims.yaml",
    output:
        markdown=report(
            f"{EXPERIMENT}/claims.md",
            category="Claims",
            caption="../report/claims.rst",
        ),
        csv=f"{EXPERIMENT}/claims.csv",
    log:
        f"{EXPERIMENT}/logs/check_claims.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("check_claims.py"),
        experiment=CONFIG.experiment,
    message:
        "Holding the claims against the data"
    shell:
        "python scripts/check_claims.py --repeats {input.repeats:q} --runs {input.runs:q}"
        " --manifest {input.manifest:q} --claims {input.claims:q}"
        " --experiment {params.experiment:q} --markdown {output.markdown:q} --csv {output.csv:q}"
        " --log {log:q}"


rule compare_with_reference:
    input:
        runs=per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json"),
        summary=f"{EXPERIMENT}/summary.csv",
        manifest=f"{EXPERIMENT}/model/manifest.json",
        recorded=recorded_results(),
    output:
        markdown=report(
            f"{EXPERIMENT}/versus-reference.md",
            category="Recorded results",
            caption="../report/versus-reference.rst",
        ),
    log:
        f"{EXPERIMENT}/logs/compare_with_reference.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("compare_with_reference.py"),
    message:
        "Comparing with recorded results"
    shell:
        "python scripts/compare_with_reference.py --summary {input.summary:q}"
        " --manifest {input.manifest:q} --runs {input.runs:q} --references results/reference"
        " --markdown {output.markdown:q} --log {log:q}"
