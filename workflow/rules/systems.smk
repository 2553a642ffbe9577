"""Systems of somebody else's, measured from outside beside the modes (docs/systems.md)."""


rule measure_system:
    """Measure one repeat of a system from outside; one that fails is a result, too."""
    input:
        programs_of,
        unpack(endpoint_of_system),
        manifest=rules.describe_model.output.manifest,
        weights=rules.store_weights.output[0],
        prompt=rules.make_prompt.output.prompt,
    output:
        run=f"{EXPERIMENT}/systems/{{system}}/rep{{repeat}}.json",
        logits=f"{EXPERIMENT}/systems/{{system}}/rep{{repeat}}.logits.npy",
        capture=f"{EXPERIMENT}/systems/{{system}}/rep{{repeat}}.pcap",
    log:
        f"{EXPERIMENT}/logs/measure_system/{{system}}.rep{{repeat}}.log",
    priority: round_priority
    conda:
        ENVIRONMENT
    threads: workflow.cores
    params:
        code=code_of(
            "measure_system.py",
            "semgap.server.supervisor",
            *(f"semgap.meters.{name}" for name in names_in("meters")),
        ),
        flags=flags,
        settings=lambda wildcards: settings_json(
            SystemJob(
                wildcards.system,
                CONFIG.systems[wildcards.system].program,
                benchmark_settings(wildcards.repeat),
            )
        ),
    message:
        "Measuring the system {wildcards.system}, repeat {wildcards.repeat}"
    shell:
        job(
            "measure_system.py",
            "--settings {params.settings:q} --code {params.code}",
        )


rule report_systems:
    """Put the systems beside the modes."""
    input:
        expectation=EXPECTATION_FILE,
        manifest=rules.describe_model.output.manifest,
        runs=per_run(rules.benchmark.output.run),
        numbers=rules.aggregate.output.numbers,
        local=f"{EXPERIMENT}/runs/local/rep1.json",
        local_logits=f"{EXPERIMENT}/runs/local/rep1.logits.npy",
        systems=per_system_run(rules.measure_system.output.run),
        logits=per_system_run(rules.measure_system.output.logits),
        captures=per_system_run(rules.measure_system.output.capture),
    output:
        rows=f"{EXPERIMENT}/peers.csv",
        markdown=f"{EXPERIMENT}/peers.md",
        figures=multiext(f"{EXPERIMENT}/figures/peers", ".svg", ".pdf", ".png"),
    log:
        f"{EXPERIMENT}/logs/report_systems.log",
    benchmark:
        f"{EXPERIMENT}/job_times/report_systems.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("report_systems.py"),
        flags=flags,
        # A function, since braces in a command are no wildcards.
        settings=lambda wildcards: settings_json(NamedSystems(CONFIG.systems)),
    message:
        "Putting the systems beside the modes"
    shell:
        job("report_systems.py", "--settings {params.settings:q}")


# What is made where the configuration has systems.
PEERS = (
    [rules.report_systems.output.markdown, rules.report_systems.output.figures[0]]
    if CONFIG.systems
    else []
)
