"""Programs whose word counts in a test, and the tests that skip where one is missing."""

import os
import shutil

import pytest
import torch

SYSTEM_FOLDERS = "/usr/sbin:/usr/bin:/sbin:/bin"


def needs(*programs):
    """Skip a test where a program is missing; `make test` installs them on Debian."""
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}"
    missing = [name for name in programs if shutil.which(name, path=path) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="PyTorch sees no GPU on this machine"
)
