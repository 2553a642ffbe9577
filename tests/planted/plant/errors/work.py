"""A workload that is not the same for all, and clocks that do not say what was done."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import msgspec

from planting import spoils

_SLEEP_S = 1.0
_SLEEP_IN_A_PASS_S = 0.5
_LOAD_S = 0.3


@spoils("semgap.benchmark", "decode_step_left_out")
def decode_a_step_less(benchmark):
    run_phases = benchmark._run_phases

    def run_fewer_steps(measured, client, settings, begin):
        fewer = replace(settings, decode_steps=settings.decode_steps - 1)
        return run_phases(measured, client, fewer, begin)

    benchmark._run_phases = run_fewer_steps


@spoils("semgap.benchmark", "warm_up_skipped")
def skip_the_warm_up(benchmark):
    _change_phase(benchmark, "warmup", lambda _phases, _steps: iter(()))


@spoils("semgap.benchmark", "model_loaded_in_prefill")
def load_the_model_in_prefill(benchmark):
    def load_then_step(phases, steps):
        # As long as a larger model would take.
        end_s = time.monotonic() + _LOAD_S
        while time.monotonic() < end_s:
            phases._client.configure()
            for _ in phases._client.setup_steps():
                pass
        yield from steps

    _change_phase(benchmark, "prefill", load_then_step)


@spoils("semgap.benchmark", "sleep_between_steps")
def sleep_between_steps(benchmark):
    def step_and_sleep(_phases, steps):
        yield next(steps)
        time.sleep(_SLEEP_S)
        yield from steps

    _change_phase(benchmark, "decode", step_and_sleep)


@spoils("semgap.worker", "sleep_in_the_worker")
def sleep_after_a_pass(worker):
    returned = worker.Worker._returned

    def returned_late(self, *arguments):
        time.sleep(_SLEEP_IN_A_PASS_S)
        return returned(self, *arguments)

    worker.Worker._returned = returned_late


@spoils("semgap.worker", "sleep_in_the_pass")
def sleep_in_a_pass(worker):
    prepared_pass = worker.Worker._prepared_pass

    def prepared_to_sleep(self, *arguments):
        run = prepared_pass(self, *arguments)

        def sleep_and_run():
            time.sleep(_SLEEP_IN_A_PASS_S)
            return run()

        return sleep_and_run

    worker.Worker._prepared_pass = prepared_to_sleep


@spoils("semgap.benchmark", "start_up_in_the_latency")
def count_prefill_from_the_start_of_the_process(benchmark):
    import psutil

    run = benchmark._Phases.run

    def run_from_the_start(self, name, steps):
        run(self, name, steps)
        if name == "prefill":
            latency_s = time.time() - psutil.Process().create_time()
            *others, prefill = self.phases
            self.phases = (*others, msgspec.structs.replace(prefill, latency_s=latency_s))

    benchmark._Phases.run = run_from_the_start


@spoils("semgap.benchmark", "clock_stepped")
def step_the_wall_clock_in_prefill(benchmark):
    clock = _SteppedTime()
    benchmark.time = clock

    def step_the_clock(_phases, steps):
        yield from steps
        clock.step_ns = 1_000_000_000

    _change_phase(benchmark, "prefill", step_the_clock)


class _SteppedTime:
    """The module ``time`` with a wall clock that somebody sets."""

    step_ns = 0

    def time_ns(self):
        return time.time_ns() + self.step_ns

    def __getattr__(self, name):
        return getattr(time, name)


@spoils("semgap.model.device", "clock_read_too_early")
def read_the_clock_before_the_work_is_done(device):
    def timed(_self, work):
        results = []
        clock_read = threading.Event()

        def at_work():
            clock_read.wait()
            results.append(work())

        # As on a GPU, where a pass is queued and its call returns at once.
        queued = threading.Thread(target=at_work)
        begin_s = time.perf_counter()
        queued.start()
        duration_s = time.perf_counter() - begin_s
        clock_read.set()
        queued.join()
        return results[0], duration_s

    device.CpuDevice.timed = timed


@spoils("semgap.client", "utilisation_is_zero")
def report_no_processor_time(client):
    client.InferenceClient.worker_cpu_s = lambda _self: 0.0


def _change_phase(benchmark, phase, changed):
    """Have a phase take its steps from ``changed``, which is given the phases and the steps."""
    run = benchmark._Phases.run

    def run_changed(self, name, steps):
        run(self, name, changed(self, steps) if name == phase else steps)

    benchmark._Phases.run = run_changed
