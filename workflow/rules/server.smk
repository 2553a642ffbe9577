"""The server that gives each benchmark job a worker of its own.

The rule's output describes settings only, so it stays when the server goes: a benchmark job that
finds no server starts it again, and the end of a run stops it. An external server is only described:
its user starts and stops it.
"""


rule rpc_server:
    """Start the server that gives each remote benchmark job a worker of its own."""
    input:
        manifest=rules.describe_model.output.manifest,
    output:
        endpoint=ENDPOINT,
    log:
        f"{EXPERIMENT}/logs/rpc_server.log",
    priority: 2_000_000
    conda:
        ENVIRONMENT
    params:
        flags=flags,
        code=code_of("rpc_server.py", f"semgap.transport.{CONFIG.server.transport}"),
        settings=lambda wildcards: settings_json(
            ServerJob(CONFIG.server, CONFIG.worker)
        ),
    message:
        "Describing and, unless it is external, starting the server ({CONFIG.server.transport} at {CONFIG.server.host}:{CONFIG.server.port})"
    shell:
        job(
            "rpc_server.py",
            "start --code {params.code} --settings {params.settings:q}",
        )
