"""The server that gives each benchmark job a worker of its own.

The rule's output describes settings only, so it stays when the server goes: a benchmark job that
finds no server starts it again, and the end of a run stops it.
"""

import subprocess

ENDPOINT = f"{EXPERIMENT}/server/endpoint.json"


def server_settings():
    return ServerSettings(
        host=CONFIG.server.host,
        port=CONFIG.server.port,
        transport=CONFIG.server.transport,
        device=CONFIG.worker.device,
        compute_threads=CONFIG.worker.compute_threads,
        idle_timeout_s=CONFIG.server.idle_timeout_s,
        start_timeout_s=CONFIG.server.start_timeout_s,
        step_timeout_s=CONFIG.server.step_timeout_s,
        external=CONFIG.server.external,
        secret_file=f"{EXPERIMENT}/server/secret",
    )


def stop_server():
    """Called when a run ends, well or not: nothing that it started stays behind."""
    if Path(ENDPOINT).exists():
        subprocess.run(
            ["python", SCRIPTS / "rpc_server.py", "stop", "--endpoint", ENDPOINT], check=False
        )


rule rpc_server:
    input:
        manifest=f"{EXPERIMENT}/model/manifest.json",
    output:
        endpoint=ENDPOINT,
    log:
        f"{EXPERIMENT}/logs/rpc_server.log",
    params:
        code=code_of("rpc_server.py", f"semgap.transport.{CONFIG.server.transport}"),
        settings=to_flags(server_settings()),
    message:
        "Starting the server ({CONFIG.server.transport} at {CONFIG.server.host}:{CONFIG.server.port})"
    priority: 2_000_000
    shell:
        "python scripts/rpc_server.py --log {log:q} start --endpoint {output.endpoint:q}"
        " --manifest {input.manifest:q} --code {params.code} {params.settings}"
