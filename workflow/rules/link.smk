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
        'python "$SEMGAP_SCRIPTS/measure_link.py" --times {output.times:q} --wire {output.wire:q}'
        " --facts {output.facts:q} --settings {params.settings:q} --log {log:q}"


rule report_link:
    """Report goodput, round trips and bytes on the wire of the link."""
    input:
        times=rules.measure_link.output.times,
        wire=rules.measure_link.output.wire,
        facts=rules.measure_link.output.facts,
    output:
        markdown=report(
            f"{EXPERIMENT}/transport.md",
            category="Link",
            caption="../report/transport.rst",
        ),
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
    message:
        "Reporting on the link"
    shell:
        'python "$SEMGAP_SCRIPTS/report_link.py" --times {input.times:q} --wire {input.wire:q}'
        " --facts {input.facts:q} --markdown {output.markdown:q} --goodput {output.goodput:q}"
        " --round-trips {output.round_trips:q} --figures {output.figures:q} --log {log:q}"


rule report_overhead:
    """Report where each mode's steps spend their time."""
    input:
        runs=per_run(rules.benchmark.output.run),
        goodput=rules.report_link.output.goodput,
    output:
        markdown=report(
            f"{EXPERIMENT}/overhead.md",
            category="Link",
            caption="../report/overhead.rst",
        ),
        csv=f"{EXPERIMENT}/overhead.csv",
    log:
        f"{EXPERIMENT}/logs/report_overhead.log",
    benchmark:
        f"{EXPERIMENT}/job_times/report_overhead.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("report_overhead.py"),
    message:
        "Reporting where the steps' time goes"
    shell:
        'python "$SEMGAP_SCRIPTS/report_overhead.py" --runs {input.runs:q} --goodput {input.goodput:q}'
        " --markdown {output.markdown:q} --csv {output.csv:q} --log {log:q}"
