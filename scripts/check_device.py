#!/usr/bin/env python3
"""Say whether the worker's device is on this machine."""

from typing import Annotated

from semgap.pipeline.cli import run_script


def check(device: Annotated[str, "cpu, cuda or cuda:N"]) -> None:
    from semgap.model.device import open_device

    open_device(device)


if __name__ == "__main__":
    run_script(check)
