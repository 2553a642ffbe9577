"""One job for each mode and repeat: runs, captures and records everything.

Jobs never overlap (each asks for all cores) and are interleaved in rounds by priority.
"""


rule record_config:
    output:
        config=f"{EXPERIMENT}/config.json",
    log:
        f"{EXPERIMENT}/logs/record_config.log",
    conda:
        ENVIRONMENT
    params:
        config=json.dumps(to_builtins(CONFIG), sort_keys=True),
    message:
        "Writing down the configuration"
    shell:
        "printf '%s\\n' {params.config:q} > {output.config:q} 2> {log:q}"


rule benchmark:
    input:
        unpack(endpoint_of),
        manifest=f"{EXPERIMENT}/model/manifest.json",
        weights=f"{WEIGHTS}/weights",
        prompt=f"{EXPERIMENT}/model/prompt.json",
        # Recorded with the run; the keys that decide what is measured are parameters.
        config=ancient(f"{EXPERIMENT}/config.json"),
    output:
        run=f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json",
        logits=f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.logits.npy",
        conditions=f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.machine.json",
        provenance=f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.provenance.json",
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
        settings=benchmark_settings,
        endpoint=lambda wildcards, input: (
            shlex.join(["--endpoint", input.endpoint])
            if "endpoint" in input.keys()
            else ""
        ),
    message:
        "Measuring {wildcards.mode}, repeat {wildcards.repeat}"
    shell:
        "python scripts/benchmark.py --mode {wildcards.mode} --manifest {input.manifest:q}"
        " --weights {input.weights:q} --prompt {input.prompt:q} {params.endpoint}"
        " --config {input.config:q} --run {output.run:q} --logits {output.logits:q}"
        " --conditions {output.conditions:q} --provenance {output.provenance:q}"
        " --capture {output.capture:q}"
        " {params.settings} --log {log:q}"
