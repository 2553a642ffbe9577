"""How fast the GPU reads its memory: no decode step can take less than reading the weights."""

import torch

from semgap.meters import Host, Meter, Readings, Span

# A decode step consists of products of a matrix and a vector, and they read faster than sums do.
# Together the matrices are many times the GPU's cache; each is large enough for the full rate.
_MATRICES, _ROWS, _COLUMNS = 4, 28_672, 4_096
_READS = 20


class GpuMemoryRead(Meter):
    """Measures once all meters have been left, so that none of them sees it."""

    host = Host.WORKER
    span = Span.BACK_TO_BACK
    needs_gpu = True

    def __enter__(self) -> None: ...

    def __exit__(self, *_exception: object) -> None: ...

    def read(self, begin_ns: int, end_ns: int) -> Readings:
        try:
            return {"gpu_memory_read_bytes_per_s": _bytes_per_s()}
        except torch.OutOfMemoryError:
            return {}
        finally:
            torch.cuda.empty_cache()


def _bytes_per_s() -> float:
    # Not zeros, which some GPUs read faster.
    matrices = torch.randn(_MATRICES, _ROWS, _COLUMNS, dtype=torch.float16, device="cuda")
    vector = torch.randn(_COLUMNS, dtype=torch.float16, device="cuda")
    best_s = float("inf")
    for _ in range(_READS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for matrix in matrices:
            torch.mv(matrix, vector)
        end.record()
        torch.cuda.synchronize()
        best_s = min(best_s, begin.elapsed_time(end) / 1e3)
    return matrices.nbytes / best_s


METER = GpuMemoryRead
