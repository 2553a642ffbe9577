"""One job for each mode and repeat: runs, captures and records everything.

Jobs never overlap (each asks for all cores) and are interleaved in rounds by priority.
"""


def endpoint_of(wildcards):
    """The server's description, for modes whose worker is one of the server's."""
    if policy_of(wildcards.mode).worker is WorkerPlace.SERVER:
        return {"endpoint": ENDPOINT}
    return {}


def benchmark_code(wildcards):
    """What this mode's job is made of: its kind of session, and its transport if it has one."""
    place = policy_of(wildcards.mode).worker
    modules = {
        WorkerPlace.IN_PROCESS: [],
        WorkerPlace.SERVER: [
            f"semgap.transport.{CONFIG.server.transport}",
            "semgap.server.worker_process",
        ],
    }[place]
    return code_of("benchmark.py", f"semgap.session.{place}", *modules)


def benchmark_settings(wildcards):
    return to_flags(
        BenchmarkSettings(
            experiment=CONFIG.experiment,
            repeat=int(wildcards.repeat),
            decode_steps=CONFIG.workload.decode_steps,
            warmup_decode_steps=CONFIG.workload.warmup_decode_steps,
            logits_to_keep=CONFIG.workload.logits_to_keep,
            device=CONFIG.worker.device,
            compute_threads=CONFIG.worker.compute_threads,
            capture_use=CONFIG.capture.use,
            interface=CONFIG.capture.interface,
            interface_address=CONFIG.capture.interface_address,
        )
    )


rule benchmark:
    input:
        unpack(endpoint_of),
        manifest=f"{EXPERIMENT}/model/manifest.json",
        weights=f"{WEIGHTS}/weights",
        prompt=f"{EXPERIMENT}/model/prompt.json",
    output:
        run=f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json",
        logits=f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.logits.npy",
        capture=f"{EXPERIMENT}/captures/{{mode}}/rep{{repeat}}.pcap",
    log:
        f"{EXPERIMENT}/logs/benchmark/{{mode}}.rep{{repeat}}.log",
    params:
        code=benchmark_code,
        policy=lambda wildcards: repr(policy_of(wildcards.mode)),
        settings=benchmark_settings,
        endpoint=lambda wildcards, input: (
            shlex.join(["--endpoint", input.endpoint]) if "endpoint" in input.keys() else ""
        ),
    message:
        "Measuring {wildcards.mode}, repeat {wildcards.repeat}"
    priority: round_priority
    threads: workflow.cores
    shell:
        "python scripts/benchmark.py --mode {wildcards.mode} --manifest {input.manifest:q}"
        " --weights {input.weights:q} --prompt {input.prompt:q} {params.endpoint}"
        " --run {output.run:q} --logits {output.logits:q} --capture {output.capture:q}"
        " {params.settings} --log {log:q}"
