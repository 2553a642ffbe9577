"""What the link can carry, what each transport makes of it, and where a step's time goes."""


rule measure_link:
    """Measure the link: transports, plain sockets and libraries in turn."""
    output:
        times=f"{EXPERIMENT}/link/times.csv",
        wire=f"{EXPERIMENT}/link/wire.csv",
        facts=f"{EXPERIMENT}/link/facts.json",
    log:
        f"{EXPERIMENT}/logs/measure_link.log",
    conda:
        ENVIRONMENT
    threads: workflow.cores
    params:
        code=code_of(
            "measure_link.py",
            *(f"semgap.transport.{name}" for name in names_in("transport")),
        ),
        flags=flags,
        settings=lambda wildcards: settings_json(
            LinkJob(
                CONFIG.link,
                CONFIG.server.host,
                CONFIG.capture.interface,
                CONFIG.worker.device,
            )
        ),
    message:
        "Measuring the link: transports, plain sockets and libraries in turn"
    shell:
        job("measure_link.py", "--settings {params.settings:q}")


rule report_link:
    """Report goodput, round trips and bytes on the wire of the link."""
    input:
        times=rules.measure_link.output.times,
        wire=rules.measure_link.output.wire,
        facts=rules.measure_link.output.facts,
    output:
        markdown=f"{EXPERIMENT}/transport.md",
        goodput=f"{EXPERIMENT}/transport.goodput.csv",
        round_trips=f"{EXPERIMENT}/transport.round_trips.csv",
        figures=multiext(f"{EXPERIMENT}/transport", ".svg", ".png"),
    log:
        f"{EXPERIMENT}/logs/report_link.log",
    benchmark:
        f"{EXPERIMENT}/job_times/report_link.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("report_link.py"),
        flags=flags,
    message:
        "Reporting on the link"
    shell:
        job("report_link.py")


rule report_overhead:
    """Report where each mode's steps spend their time."""
    input:
        runs=per_run(rules.benchmark.output.run),
        goodput=rules.report_link.output.goodput,
    output:
        markdown=f"{EXPERIMENT}/overhead.md",
        csv=f"{EXPERIMENT}/overhead.csv",
    log:
        f"{EXPERIMENT}/logs/report_overhead.log",
    benchmark:
        f"{EXPERIMENT}/job_times/report_overhead.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("report_overhead.py"),
        flags=flags,
    message:
        "Reporting where the steps' time goes"
    shell:
        job("report_overhead.py")
