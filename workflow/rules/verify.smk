"""What the data say of the claims, for whoever asks; nothing is built from it."""


localrules:
    verify,


rule verify:
    """Print claims and comparison with recorded results; fails where a claim is contradicted."""
    input:
        table="results/table.md",
        claims=rules.aggregate.output.claims,
        versus=rules.aggregate.output.versus,
        claims_report=rules.render_table.output.claims,
        versus_report=rules.render_table.output.versus,
    log:
        f"{EXPERIMENT}/logs/verify.log",
    conda:
        ENVIRONMENT
    message:
        "Verifying the claims"
    shell:
        'python "$SEMGAP_SCRIPTS/verify.py" --claims {input.claims:q} --versus {input.versus:q}'
        " --claims-report {input.claims_report:q} --versus-report {input.versus_report:q} --log {log:q}"
