"""Processor time of the client's process: what moving tensors costs the side without a GPU."""

import time

from semgap.meters import Growth


class ClientCpu(Growth):
    """All threads, user and system time."""

    quantity = "client_cpu_busy_s"

    def now(self) -> float:
        return time.process_time()


METER = ClientCpu
