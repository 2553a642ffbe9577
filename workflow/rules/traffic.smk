"""What each run's capture says: bytes on the wire per phase and direction."""


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
