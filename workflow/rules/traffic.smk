"""What each run's capture says: bytes per phase and direction, and who spoke when."""


rule parse_capture:
    """Count the bytes of one run's capture per phase and direction."""
    input:
        run=rules.benchmark.output.run,
        capture=rules.benchmark.output.capture,
    output:
        traffic=f"{EXPERIMENT}/traffic/{{mode}}/rep{{repeat}}.csv",
        turns=f"{EXPERIMENT}/traffic/{{mode}}/rep{{repeat}}.turns.csv",
    log:
        f"{EXPERIMENT}/logs/parse_capture/{{mode}}.rep{{repeat}}.log",
    benchmark:
        f"{EXPERIMENT}/job_times/parse_capture/{{mode}}.rep{{repeat}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_of("parse_capture.py"),
        flags=flags,
        withdraw=WITHDRAWN,
    message:
        "Counting the bytes of {wildcards.mode}, repeat {wildcards.repeat}"
    shell:
        job("parse_capture.py", "--withdraw {params.withdraw:q}")
