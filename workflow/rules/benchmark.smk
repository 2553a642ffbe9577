"""One job for each mode and repeat: runs, captures and records everything.

Jobs never overlap (each asks for all cores) and are interleaved in rounds by priority. They have no
`benchmark:` of Snakemake's: it reads the job's memory maps twice a second while latency is measured.
"""


rule benchmark:
    """Measure one repeat of one mode."""
    input:
        unpack(endpoint_of),
        manifest=rules.describe_model.output.manifest,
        weights=rules.store_weights.output[0],
        prompt=rules.make_prompt.output.prompt,
    output:
        run=f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json",
        logits=f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.logits.npy",
        capture=f"{EXPERIMENT}/captures/{{mode}}/rep{{repeat}}.pcap",
    log:
        f"{EXPERIMENT}/logs/benchmark/{{mode}}.rep{{repeat}}.log",
    priority: round_priority
    conda:
        ENVIRONMENT
    threads: workflow.cores
    params:
        code=benchmark_code,
        policy=lambda wildcards: policy_value(wildcards.mode),
        settings=lambda wildcards: settings_json(benchmark_settings(wildcards.repeat)),
        flags=flags,
        place=place_of,
        withdraw=WITHDRAWN,
    message:
        "Measuring {wildcards.mode}, repeat {wildcards.repeat}"
    shell:
        job(
            "benchmark.py",
            "--mode {wildcards.mode} --settings {params.settings:q} --code {params.code}",
            "{params.place}",
            "--withdraw {params.withdraw:q}",
        )


ANNOUNCED = RunsAnnounced(
    "benchmark",
    lambda wildcards: Path(rules.benchmark.output.run.format(**wildcards)),
    say,
)
FAILURES = Failures()
for handler in (ANNOUNCED, FAILURES):
    logger.addHandler(handler)
