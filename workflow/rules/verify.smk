"""What the data say of the claims and of recorded results; no table is built from it."""


localrules:
    verify,


rule compare_recorded:
    """Put bytes and ratios beside those of the recorded experiment of the nearest kind."""
    input:
        RECORDED,
        expectation=EXPECTATION_FILE,
        manifest=rules.describe_model.output.manifest,
        summary=f"{EXPERIMENT}/summary.csv",
        comparisons=f"{EXPERIMENT}/comparisons.csv",
    output:
        rows=f"{EXPERIMENT}/versus-reference.csv",
        report=f"{EXPERIMENT}/versus-reference.md",
    log:
        f"{EXPERIMENT}/logs/compare_recorded.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("compare_recorded.py"),
        flags=flags,
    message:
        "Comparing with recorded results"
    shell:
        job("compare_recorded.py", '--reference "$SEMGAP_SCRIPTS/../results/reference"')


rule verify:
    """Print claims and comparison with recorded results; fails where a claim is contradicted."""
    input:
        table="results/table.md",
        claims=f"{EXPERIMENT}/claims.csv",
        claims_report=f"{EXPERIMENT}/claims.md",
        versus=rules.compare_recorded.output.rows,
        versus_report=rules.compare_recorded.output.report,
    log:
        f"{EXPERIMENT}/logs/verify.log",
    conda:
        ENVIRONMENT
    params:
        flags=flags,
    message:
        "Verifying the claims"
    shell:
        job("verify.py")
