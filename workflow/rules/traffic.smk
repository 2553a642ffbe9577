"""What each run's raw data says: bytes on the wire, and how busy the worker was."""


rule parse_capture:
    input:
        run=f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json",
        capture=f"{EXPERIMENT}/captures/{{mode}}/rep{{repeat}}.pcap",
    output:
        traffic=f"{EXPERIMENT}/traffic/{{mode}}/rep{{repeat}}.csv",
    log:
        f"{EXPERIMENT}/logs/parse_capture/{{mode}}.rep{{repeat}}.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("parse_capture.py"),
        withdraw=PUBLISHED,
    message:
        "Counting the bytes of {wildcards.mode}, repeat {wildcards.repeat}"
    shell:
        "python scripts/parse_capture.py --run {input.run:q} --capture {input.capture:q}"
        " --traffic {output.traffic:q} --withdraw {params.withdraw:q} --log {log:q}"


rule utilisation:
    input:
        run=f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json",
    output:
        utilisation=f"{EXPERIMENT}/utilisation/{{mode}}/rep{{repeat}}.csv",
    log:
        f"{EXPERIMENT}/logs/utilisation/{{mode}}.rep{{repeat}}.log",
    conda:
        ENVIRONMENT
    params:
        code=code_of("utilisation.py"),
    message:
        "Deriving the utilisation of {wildcards.mode}, repeat {wildcards.repeat}"
    shell:
        "python scripts/utilisation.py --run {input.run:q} --utilisation {output.utilisation:q}"
        " --log {log:q}"
