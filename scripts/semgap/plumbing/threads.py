"""Work for all cores within one process."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from semgap.plumbing.processes import threads_or_all_cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do work that releases the interpreter's lock, on all cores.

    Returns:
        The results in the order of the items. The first error is raised.
    """
    with ThreadPoolExecutor(threads_or_all_cores(0)) as pool:
        return list(pool.map(work, items))
