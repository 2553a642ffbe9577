"""Processes that start in milliseconds: forked from one that has done the slow imports only."""

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
# Nothing of the project itself: a child may work with a changed copy of it.
FORKS.set_forkserver_preload(
    [
        "pytest",
        "pandas",
        "requests",
        "smart_open",
        "snakemake.cli",
        "snakemake.report",
        "snakemake.storage",
        "yte",
        "snakemake.executors.touch",
        "jsonschema",
        "msgspec",
        "torch",
        "torch.distributed.rpc",
        "transformers.models.gptj.modeling_gptj",
    ]
)
