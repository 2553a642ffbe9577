"""Wrong evaluations, made on purpose: each a small change, and the check that has to catch it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LIBRARY = "scripts/semgap"
REMOTE = ("naive", "remote_cache", "semantic")
ALL = ("local", *REMOTE)
# What derives the published numbers once more, by code of its own: tests/mutants/rederivation.py.
REDERIVED = "rederivation"


@dataclass(frozen=True)
class Edit:
    """A replacement in a file of the project."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Planted:
    """A wrong evaluation.

    Attributes:
        family: what it is a mistake of.
        would: what it would have published.
        caught_by: the check that refuses it; ``warning`` for a note under the table.
        edits: to the code.
        measured: modes that are measured with it.
        change: to the files of an experiment that was measured honestly.
    """

    name: str
    family: str
    would: str
    caught_by: str
    edits: tuple[Edit, ...] = ()
    measured: tuple[str, ...] = ()
    change: Callable[[Path], None] | None = None


def library(file: str, old: str, new: str) -> Edit:
    return Edit(f"{LIBRARY}/{file}", old, new)


CLIENT, WORKER, JOB = "inference/client.py", "inference/worker.py", "measurement/job.py"
PASS, PHASES, TCP = "execution/forward_pass.py", "measurement/phases.py", "transport/tcp.py"
SUMMARY, TRAFFIC = "analysis/numbers/summary.py", "analysis/numbers/traffic.py"
NUMBERS, STATISTICS = "analysis/numbers/numbers.py", "plumbing/statistics.py"
CLAIMS, COLUMNS = "analysis/claims/evaluation.py", "analysis/reports/columns.py"

MODES, CLOCK, CAPTURE = "what the modes do", "the clock", "the capture"
ARITHMETIC, FILES = "the arithmetic", "the files"

# Where the client has its exchange with the worker, and its step's record.
EXCHANGE = "        exchange = self._exchange(header, {name: group"
STEP = "        logits = exchange.tensors.get(TensorClass.LOGITS)\n"
SENT_LATENCY = """\
        spare = step.{0}
        step = msgspec.structs.replace(step, latency_s=step.latency_s - spare, {0}=0.0)
"""
RECORDED_LATENCY = library(
    PHASES, "latency_s=latency_s,", "latency_s=sum(step.latency_s for step in steps),"
)
TIMED = "        rehearsals = rehearse(rehearsal, workload)\n        generation(timed)\n"


def in_client(mode: str) -> str:
    return f'self._policy.mode == "{mode}"'


OF_MODES = (
    Planted(
        "naive keeps the weights on the worker",
        MODES,
        "a naive mode that sends its weights once",
        "check_content",
        (
            library(CLIENT, STEP, f"{STEP}        self._step_weights = ()\n"),
            library(WORKER, "                engine.release()\n", "                pass\n"),
            library(WORKER, "self._borrowed += [*weights, *came]", "self._borrowed += came"),
        ),
        ("naive",),
    ),
    Planted(
        "naive's worker keeps the KV cache to itself",
        MODES,
        "decode steps without a context",
        "check_content",
        (
            library(
                WORKER,
                "TensorClass.KV_CACHE: returned}",
                "TensorClass.KV_CACHE: () if weights else returned}",
            ),
            library(
                CLIENT,
                "replace(extended, positions=kv_cache.positions + tokens.shape[1])",
                "replace(extended, positions=0)",
            ),
        ),
        ("naive",),
    ),
    Planted(
        "remote_cache leaves the KV cache on the worker",
        MODES,
        "semantic's bytes in remote_cache's row",
        "check_content",
        (
            library(
                CLIENT,
                "TensorClass.KV_CACHE: self._kv_placement.up(kv_cache)",
                "TensorClass.KV_CACHE: ()",
            ),
            library(
                WORKER,
                "        try:\n            if weights:",
                "        if request.positions:\n            arrived = self._last\n"
                "        try:\n            if weights:",
            ),
            library(
                WORKER,
                "        returned, reference_id = placement",
                "        self._last = kv_cache.copied()\n"
                "        returned, reference_id = placement",
            ),
        ),
        ("remote_cache",),
    ),
    Planted(
        "semantic returns the KV cache as well",
        MODES,
        "a framework-level mode that pays for the cache",
        "check_content",
        (
            library(
                "placements/resident.py",
                "return (), store.keep(after)",
                "return after.valid(), store.keep(after)",
            ),
        ),
        ("semantic",),
    ),
    Planted(
        "remote_cache's KV cache crosses in half precision",
        MODES,
        "half the bytes, and other logits",
        "check_content",
        (
            library(
                CLIENT,
                "TensorClass.KV_CACHE: self._kv_placement.up(kv_cache)",
                "TensorClass.KV_CACHE: [one.half() for one in self._kv_placement.up(kv_cache)]",
            ),
            library(
                WORKER,
                "came = tensors.get(TensorClass.KV_CACHE, ())",
                "came = [one.float() for one in tensors.get(TensorClass.KV_CACHE, ())]",
            ),
        ),
        ("remote_cache",),
    ),
    Planted(
        "remote_cache sends zeros for its KV cache",
        MODES,
        "the right bytes, of nothing",
        "check_correctness",
        (
            library(
                CLIENT,
                "TensorClass.KV_CACHE: self._kv_placement.up(kv_cache)",
                "TensorClass.KV_CACHE: [one * 0 for one in self._kv_placement.up(kv_cache)]",
            ),
        ),
        ("remote_cache",),
    ),
    Planted(
        "semantic answers a shorter prompt",
        MODES,
        "a prefill of less work",
        "check_content",
        (
            library(
                JOB,
                "executor, prompt.token_ids, workload.decode_steps)\n            return",
                'executor, prompt.token_ids[policy.mode == "semantic" :], workload.decode_steps)\n'
                "            return",
            ),
        ),
        ("semantic",),
    ),
    Planted(
        "naive returns the logits of all positions",
        MODES,
        "a handicap in one mode's prefill",
        "check_content",
        (
            library(
                CLIENT,
                "self._pass_type(logits_to_keep,",
                f"self._pass_type(0 if {in_client('naive')} else logits_to_keep,",
            ),
        ),
        ("naive",),
    ),
    Planted(
        "semantic samples its tokens",
        MODES,
        "another continuation",
        "check_correctness",
        (
            library(
                PASS,
                "token_id = int(row.numpy().argmax())",
                "token_id = int(row.numpy().argsort()[-2])",
            ),
        ),
        ("semantic",),
    ),
    Planted(
        "all modes sample their tokens alike",
        MODES,
        "tokens that no greedy decoding gives",
        "check_expected",
        (
            library(
                PASS,
                "token_id = int(row.numpy().argmax())",
                "token_id = int(row.numpy().argsort()[-2])",
            ),
        ),
        ALL,
    ),
    Planted(
        "all modes compute with weights made up afresh",
        MODES,
        "a table of another model",
        "check_expected",
        (
            library(
                "model/skeleton.py",
                "    def bind(self, names: Sequence[str], tensors: Sequence[Tensor]) -> None:",
                "    def bind(self, names, tensors):\n"
                "        made = torch.Generator().manual_seed(1)\n"
                "        made_up = [torch.randn(one.shape, generator=made) for one in tensors]\n"
                "        self.bind_honestly(names, made_up)\n\n"
                "    def bind_honestly(self, names: Sequence[str], tensors: Sequence[Tensor]):",
            ),
        ),
        ALL,
    ),
    Planted(
        "semantic decodes a step more",
        MODES,
        "the latency of four steps for three",
        "check_consistency",
        (
            library(JOB, "max_steps=1 + workload", "max_steps=2 + workload"),
            library(
                JOB,
                "prompt.token_ids, workload.decode_steps)\n            return",
                "prompt.token_ids, workload.decode_steps + 1)\n            return",
            ),
        ),
        ("semantic",),
    ),
    Planted(
        "semantic decodes a step less",
        MODES,
        "the latency of two steps for three",
        "check_consistency",
        (
            library(
                JOB,
                "prompt.token_ids, workload.decode_steps)\n            return",
                "prompt.token_ids, workload.decode_steps - 1)\n            return",
            ),
        ),
        ("semantic",),
    ),
    Planted(
        "naive's weights go through shared memory",
        MODES,
        "a naive mode at the speed of memory",
        "check_counts",
        (
            library(
                TCP,
                "        try:\n            serialised_ns = self._memory.send(",
                "        import torch\n"
                "        tensors = dict(message.tensors)\n"
                '        torch.save(list(tensors.pop("weights", ())), "/dev/shm/planted-weights")\n'
                "        message = RequestMessage(message.header, tensors)\n"
                "        try:\n            serialised_ns = self._memory.send(",
            ),
            library(
                TCP,
                "            received_ns = time.monotonic_ns()\n",
                "            received_ns = time.monotonic_ns()\n"
                "            import torch\n"
                '            weights = torch.load("/dev/shm/planted-weights")\n'
                '            tensors |= {TensorClass("weights"): weights} if weights else {}\n',
            ),
        ),
        ("naive",),
    ),
    Planted(
        "semantic names a KV cache of another session",
        MODES,
        "nothing: the worker knows no such cache",
        "look_up",
        (
            library(
                CLIENT,
                "kv_cache.positions, kv_cache.reference_id)",
                'kv_cache.positions, kv_cache.reference_id and "0" * 32)',
            ),
        ),
        ("semantic",),
    ),
    Planted(
        "local computes on two threads",
        MODES,
        "a baseline with more of the machine than it says",
        "check_consistency",
        (
            library(
                "session/in_process.py",
                "torch.set_num_threads(threads_or_all_cores(settings.compute_threads))",
                "torch.set_num_threads(2)",
            ),
        ),
        ("local",),
    ),
    Planted(
        "semantic computes each pass twice",
        MODES,
        "a framework-level mode that is slower by its own computing",
        "check_claims",
        (
            library(
                WORKER,
                "lambda: engine.forward(tokens, arrived, request.logits_to_keep)",
                "lambda: [\n"
                "                        engine.forward(tokens, one, request.logits_to_keep)\n"
                "                        for one in (arrived.copied(), arrived)\n"
                "                    ][1]",
            ),
        ),
        ("semantic",),
    ),
)

OF_THE_CLOCK = (
    Planted(
        "a phase's clock starts late",
        CLOCK,
        "latencies without a part of the first step",
        "check_consistency",
        (library(PHASES, "latency_s=latency_s,", "latency_s=latency_s - steps[0].latency_s / 2,"),),
        ("semantic",),
    ),
    Planted(
        "a phase's clock stops early",
        CLOCK,
        "latencies without a part of the last step",
        "check_consistency",
        (
            library(
                PHASES, "latency_s=latency_s,", "latency_s=latency_s - steps[-1].latency_s / 2,"
            ),
        ),
        ("semantic",),
    ),
    Planted(
        "a step's clock starts when its request was sent",
        CLOCK,
        "naive without sending its weights",
        "check_exchanges",
        (
            library(
                CLIENT,
                STEP,
                SENT_LATENCY.format("send_s")
                + "        step = msgspec.structs.replace("
                + "step, begin_ns=step.begin_ns + int(1e9 * spare))\n"
                + STEP,
            ),
            RECORDED_LATENCY,
        ),
        ("naive",),
    ),
    Planted(
        "a step's clock stops when the worker has finished",
        CLOCK,
        "remote_cache without receiving its KV cache",
        "check_exchanges",
        (library(CLIENT, STEP, SENT_LATENCY.format("receive_s") + STEP), RECORDED_LATENCY),
        ("remote_cache",),
    ),
    Planted(
        "a rehearsal is recorded instead of the measurement",
        CLOCK,
        "a cold run, or the best of several",
        "check_exchanges",
        (
            library(
                JOB,
                TIMED,
                "        generation(timed)\n        rehearsals = rehearse(rehearsal, workload)\n",
            ),
        ),
        ("semantic",),
    ),
    Planted(
        "rehearsals are made up",
        CLOCK,
        "a cold run as a warm one",
        "check_exchanges",
        (
            library(
                JOB,
                TIMED,
                '        rehearsals = (Rehearsal({"prefill": 0.1, "decode": 0.1}),) * 2\n'
                "        generation(timed)\n",
            ),
        ),
        ("semantic",),
    ),
    Planted(
        "local sleeps 20 ms between its steps",
        CLOCK,
        "a baseline that is slower than it is",
        "check_beside",
        (
            library(
                PASS,
                "        index = len(self._token_ids)\n",
                '        index = len(self._token_ids)\n        __import__("time").sleep(0.02)\n',
            ),
        ),
        ("local",),
    ),
    Planted(
        "semantic's client sleeps 20 ms before it has its reply",
        CLOCK,
        "a framework-level mode that is slower than it is",
        "check_clocks",
        (
            library(
                TCP,
                "            answer = self._incoming.next()\n",
                "            answer = self._incoming.next()\n            time.sleep(0.02)\n",
            ),
        ),
        ("semantic",),
    ),
    Planted(
        "semantic's client sleeps 10 ms while it places its tensors",
        CLOCK,
        "a framework-level mode that is slower than it is",
        "warning",
        (library(CLIENT, EXCHANGE, f"        time.sleep(0.01)\n{EXCHANGE}"),),
        ("semantic",),
    ),
    Planted(
        "naive's client sleeps 10 ms before it sends",
        CLOCK,
        "a baseline with a handicap",
        "warning",
        (
            library(
                TCP,
                "        try:\n            serialised_ns = ",
                "        time.sleep(0.01)\n        try:\n            serialised_ns = ",
            ),
        ),
        ("naive",),
    ),
    Planted(
        "naive's worker sleeps 10 ms in its handler",
        CLOCK,
        "a baseline with a handicap",
        "warning",
        (
            library(
                WORKER,
                "        begin_ns = time.monotonic_ns()\n",
                "        begin_ns = time.monotonic_ns()\n        time.sleep(0.01)\n",
            ),
        ),
        ("naive",),
    ),
    Planted(
        "remote_cache's worker sleeps 10 ms before its handler",
        CLOCK,
        "a baseline with a handicap",
        "warning",
        (
            library(
                TCP,
                "            reply = handler.handle(request)\n",
                "            time.sleep(0.01)\n            reply = handler.handle(request)\n",
            ),
        ),
        ("remote_cache",),
    ),
    Planted(
        "what sending takes counts as the worker's",
        CLOCK,
        "a network that costs nothing",
        "check_exchanges",
        (
            library(
                CLIENT,
                "        logits = exchange.tensors.get",
                "        step = msgspec.structs.replace(\n"
                "            step,\n"
                "            send_s=step.send_s * 0.2,\n"
                "            worker_s=step.worker_s + 0.8 * step.send_s,\n"
                "        )\n"
                "        logits = exchange.tensors.get",
            ),
        ),
        ("naive",),
    ),
    Planted(
        "what the worker takes counts as receiving",
        CLOCK,
        "a worker that computes in no time",
        "check_consistency",
        (
            library(
                CLIENT,
                "        logits = exchange.tensors.get",
                "        step = msgspec.structs.replace(\n"
                "            step,\n"
                "            worker_s=step.worker_s / 2,\n"
                "            receive_s=step.receive_s + step.worker_s / 2,\n"
                "        )\n"
                "        logits = exchange.tensors.get",
            ),
        ),
        ("semantic",),
    ),
    Planted(
        "the worker's processor time is read in the client",
        CLOCK,
        "a worker that is idle",
        "check_consistency",
        (
            library(
                PHASES,
                "worker_cpu_s=read.cpu_s - started.cpu_s",
                'worker_cpu_s=client_readings["client_cpu"]["client_cpu_busy_s"] / 5',
            ),
        ),
        ("semantic",),
    ),
)

OF_THE_CAPTURE = (
    Planted(
        "the capture is read at another port",
        CAPTURE,
        "no traffic at all",
        "check_exchanges",
        (
            library(
                TRAFFIC,
                "    return session_connections(record.client_sockets, record.worker_sockets)",
                "    return frozenset()",
            ),
        ),
        ("remote_cache",),
    ),
    Planted(
        "the capture starts late",
        CAPTURE,
        "traffic without its beginning",
        "traffic_of_run",
        (
            library(
                JOB,
                '    name = f"{policy.mode}, repeat',
                "    early = [send_probe(settings.capture.interface_address)]\n"
                '    name = f"{policy.mode}, repeat',
            ),
            library(
                JOB,
                "        probes = [send_probe(settings.capture.interface_address)]",
                "        probes = early",
            ),
        ),
        ("semantic",),
    ),
    Planted(
        "the capture is cut before the measurement",
        CAPTURE,
        "the traffic of the rehearsals alone",
        "traffic_of_run",
        (
            library(
                JOB,
                "        generation(timed)\n",
                "        running.stop()\n        generation(timed)\n",
            ),
            library(JOB, "            running.stop()\n    ended", "            pass\n    ended"),
        ),
        ("semantic",),
    ),
    Planted(
        "the capture loses packets",
        CAPTURE,
        "less traffic than there was",
        "traffic_of_run",
        (
            library(
                "pcap/reader.py",
                "        starts.append(at)\n",
                "        starts += [at] * bool(at % 7)\n",
            ),
        ),
        ("naive",),
    ),
    Planted(
        "one mode's capture is of another interface",
        CAPTURE,
        "bytes of two kinds side by side",
        "check_same_setup",
        (library("measurement/tcpdump.py", '*("-i", interface, "-w"', '*("-i", "none", "-w"'),),
        ("semantic",),
    ),
    Planted(
        "up and down are swapped",
        CAPTURE,
        "a client that receives its weights",
        "check_counts",
        (
            library(
                TRAFFIC,
                "for direction, pairs in ((UP, upward), (DOWN, downward))",
                "for direction, pairs in ((DOWN, upward), (UP, downward))",
            ),
        ),
        ("naive",),
    ),
    Planted(
        "frames are counted instead of payload",
        CAPTURE,
        "headers as content",
        "check_counts",
        (
            library(
                "pcap/traffic_window.py",
                "            payload_bytes,\n            sent_bytes - payload_bytes,",
                "            sum(flow.frame_bytes for flow in flows),\n"
                "            sent_bytes - payload_bytes,",
            ),
        ),
        ("naive",),
    ),
    Planted(
        "the window of a phase begins a second early",
        CAPTURE,
        "the traffic of rehearsals in the prefill",
        "check_counts",
        (
            library(
                TRAFFIC,
                "TrafficWindow(phase.begin_unix_ns, phase",
                "TrafficWindow(phase.begin_unix_ns - 10**9, phase",
            ),
        ),
        ("naive",),
    ),
    Planted(
        "traffic is taken from the tensors instead of the capture",
        CAPTURE,
        "a prediction that agrees with itself",
        "check_counts",
        (
            library(
                TRAFFIC,
                "    if not record.capture.captured:\n        source",
                '    if record.mode == "naive":\n        source',
            ),
            library(TRAFFIC, 'else "transport"', 'else "tcpdump"'),
        ),
        ("naive",),
    ),
)

OF_THE_ARITHMETIC = (
    Planted(
        "the standard deviation divides by n",
        ARITHMETIC,
        "deviations that are too small",
        REDERIVED,
        (
            library(
                STATISTICS, "return statistics.stdev(values)", "return statistics.pstdev(values)"
            ),
        ),
    ),
    Planted(
        "a gigabyte has 2³⁰ bytes",
        ARITHMETIC,
        "7 % less traffic",
        REDERIVED,
        (library(COLUMNS, "_BYTES_PER_GB = 1e9", "_BYTES_PER_GB = 2**30"),),
    ),
    Planted(
        "the mean is the median",
        ARITHMETIC,
        "latencies without their outliers",
        REDERIVED,
        (library(SUMMARY, "mean=fmean(values)", "mean=median(values)"),),
    ),
    Planted(
        "the mean is the best repeat",
        ARITHMETIC,
        "the fastest run of each mode",
        REDERIVED,
        (library(SUMMARY, "mean=fmean(values)", "mean=min(values)"),),
    ),
    Planted(
        "a ratio is inverted",
        ARITHMETIC,
        "naive as the fastest mode",
        REDERIVED,
        (library(CLAIMS, "found = mean_ratio(*pairs)", "found = mean_ratio(*reversed(pairs))"),),
    ),
    Planted(
        "an interval pairs other rounds",
        ARITHMETIC,
        "an interval of ratios that nobody measured",
        REDERIVED,
        (
            library(
                CLAIMS, "[other[one] for one in rounds]", "[other[one] for one in reversed(rounds)]"
            ),
        ),
    ),
    Planted(
        "an interval takes the normal distribution for Student's",
        ARITHMETIC,
        "intervals of half their width",
        REDERIVED,
        (
            library(
                STATISTICS,
                "half = t_quantile((1 + CONFIDENCE) / 2, count - 1) * error",
                'half = Decimal("1.96") * error',
            ),
        ),
    ),
    Planted(
        "setup counts as prefill",
        ARITHMETIC,
        "weights in the first token's latency",
        REDERIVED,
        (
            library(
                SUMMARY,
                "        for quantity, value in _with_percentages(numbers, phase.latency_s)\n",
                "        for quantity, number in _with_percentages(numbers, phase.latency_s)\n"
                "        for value in (\n"
                "            number\n"
                '            + (quantity == "latency_s" and phase.name == "prefill")\n'
                "            * record.phases[0].latency_s,\n"
                "        )\n",
            ),
        ),
    ),
    Planted(
        "the rows of two modes are swapped",
        ARITHMETIC,
        "remote_cache's numbers under naive's name",
        REDERIVED,
        (
            library(
                NUMBERS,
                "quantities=quantities[phase, mode],",
                "quantities=quantities[\n"
                "                phase,\n"
                '                {"naive": "remote_cache", "remote_cache": "naive"}\n'
                "                .get(mode, mode),\n"
                "            ],",
            ),
        ),
    ),
    Planted(
        "the names of two modes are swapped",
        ARITHMETIC,
        "naive's numbers under local's name",
        REDERIVED,
        (
            library(
                NUMBERS,
                "            label=label.text,",
                "            label=list(labels.values())[list(labels).index(mode) ^ 1].text,",
            ),
        ),
    ),
    Planted(
        "utilisation is over another phase's time",
        ARITHMETIC,
        "percentages of decode in the prefill",
        REDERIVED,
        (
            library(
                SUMMARY,
                "_with_percentages(numbers, phase.latency_s)",
                "_with_percentages(numbers, record.phases[-1].latency_s)",
            ),
        ),
    ),
    Planted(
        "traffic is that of one direction",
        ARITHMETIC,
        "half of remote_cache's bytes",
        REDERIVED,
        (
            library(
                SUMMARY,
                '"network_bytes": up.payload_bytes + down.payload_bytes',
                '"network_bytes": up.payload_bytes',
            ),
        ),
    ),
    Planted(
        "latency is that of one step",
        ARITHMETIC,
        "a third of each decode's latency",
        REDERIVED,
        (
            library(
                COLUMNS,
                'latency = row.quantities["latency_s"]',
                'latency = row.quantities["latency_per_step_s"]',
            ),
        ),
    ),
    Planted(
        "the 99th percentile is the largest",
        ARITHMETIC,
        "another percentile than is said",
        REDERIVED,
        (
            library(
                SUMMARY,
                '"step_latency_p99_s": percentile(latencies_s, 99)',
                '"step_latency_p99_s": max(latencies_s)',
            ),
        ),
    ),
    Planted(
        "more repeats are said than there are",
        ARITHMETIC,
        "a larger n",
        REDERIVED,
        (
            library(
                "analysis/reports/table.py",
                '"n": row.quantities["latency_s"].n',
                '"n": row.quantities["latency_s"].n + 1',
            ),
        ),
    ),
    Planted(
        "what the data do not decide passes",
        ARITHMETIC,
        "claims that nothing supports",
        REDERIVED,
        (library(CLAIMS, "    return Verdict.NOT_SUPPORTED\n", "    return Verdict.PASS\n"),),
    ),
    Planted(
        "verdicts are compared with themselves",
        ARITHMETIC,
        "claims that cannot fail",
        REDERIVED,
        (
            library(
                CLAIMS,
                "verdict(one, at_least, claim.at_most) for one in seen.intervals",
                "verdict(one, one[0], one[1]) for one in seen.intervals",
            ),
        ),
    ),
    Planted(
        "a claim's bounds are turned round",
        ARITHMETIC,
        "naive as at most 1.2 times as slow as remote_cache",
        REDERIVED,
        (Edit("config/claims.yaml", "    at_least: 1.2\n", "    at_most: 1.2\n"),),
    ),
)


def copy_of_a_repeat(folder: Path) -> None:
    for file in [*folder.glob("runs/naive/rep1*"), *folder.glob("traffic/naive/rep1*")]:
        shutil.copy(file, file.with_name(file.name.replace("rep1", "rep2")))


def swapped_modes(folder: Path) -> None:
    for kind in ("runs", "traffic"):
        one, other, aside = (folder / kind / name for name in ("naive", "remote_cache", "aside"))
        one.rename(aside)
        other.rename(one)
        aside.rename(other)


def edited(*parts: str) -> Callable[[Path], None]:
    """Replace a text in a file of the experiment, once."""
    file, old, new = parts

    def edit(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text, f"{file} has no {old}"
        (folder / file).write_text(text.replace(old, new, 1))

    return edit


def recorded(mode: str, change: Callable[[dict], None]) -> Callable[[Path], None]:
    """Change the record of a mode's first repeat."""

    def edit(folder: Path) -> None:
        file = folder / "runs" / mode / "rep1.json"
        record = json.loads(file.read_text())
        change(record)
        file.write_text(json.dumps(record))

    return edit


def flipped_bit(folder: Path) -> None:
    (file,) = (folder / "small-model" / "weights").glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def weights_of_another_model(folder: Path) -> None:
    flipped_bit(folder)
    manifest = json.loads((folder / "model" / "manifest.json").read_text())
    (file,) = (folder / "small-model" / "weights").glob("*.safetensors")
    import hashlib

    manifest["files"][-1]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest["fingerprint"] = "0" * 64
    (folder / "model" / "manifest.json").write_text(json.dumps(manifest))


def copied(source: str, target: str) -> Callable[[Path], None]:
    return lambda folder: shutil.copy(folder / source, folder / target) and None


def other_expected_logits(folder: Path) -> None:
    file = folder / "model" / "expected.logits.npy"
    np.save(file, np.load(file)[:, ::-1])


def shifted_turns(folder: Path) -> None:
    """All packets 5 ms earlier."""
    file = folder / "traffic" / "semantic" / "rep1.turns.csv"
    header, *rows = file.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    moved = [
        ",".join([way, str(int(begin) - 5_000_000), str(int(end) - 5_000_000), size])
        for way, begin, end, size in cells
    ]
    file.write_text("\n".join([header, *moved]) + "\n")


OF_THE_FILES = (
    Planted(
        "a repeat is a copy of another",
        FILES,
        "two runs that scatter by nothing",
        "check_belonging",
        change=copy_of_a_repeat,
    ),
    Planted(
        "the runs of two modes are swapped",
        FILES,
        "remote_cache's numbers under naive's name",
        "check_belonging",
        change=swapped_modes,
    ),
    Planted(
        "runs of an earlier configuration lie under the same name",
        FILES,
        "the numbers of another workload",
        "check_belonging",
        change=recorded(
            "naive", lambda one: one["settings"]["workload"].update(rehearsals_at_most=1)
        ),
    ),
    Planted(
        "a bit of a weight is flipped",
        FILES,
        "a table of another model",
        "check_weight_files",
        change=flipped_bit,
    ),
    Planted(
        "the weights are another model's, and described as such",
        FILES,
        "a table under another model's name",
        "check_belonging",
        change=weights_of_another_model,
    ),
    Planted(
        "logits are another run's",
        FILES,
        "an answer that this run did not give",
        "check_files",
        change=copied("runs/local/rep1.logits.npy", "runs/naive/rep1.logits.npy"),
    ),
    Planted(
        "a capture is another run's",
        FILES,
        "traffic of another run",
        "check_files",
        change=copied("runs/naive/rep2.pcap", "runs/naive/rep1.pcap"),
    ),
    Planted(
        "traffic was edited",
        FILES,
        "1 MB more than there was",
        "check_counts",
        change=lambda folder: _more_traffic(folder),
    ),
    Planted(
        "the packets' time stamps were moved",
        FILES,
        "a step that ended before its reply",
        "check_exchanges",
        change=shifted_turns,
    ),
    Planted(
        "a latency was edited",
        FILES,
        "a faster semantic",
        "check_consistency",
        change=recorded("semantic", lambda one: one["phases"][-1].update(latency_s=1e-4)),
    ),
    Planted(
        "a token was edited",
        FILES,
        "an answer that the logits do not give",
        "check_correctness",
        change=recorded("semantic", lambda one: one["token_ids"].__setitem__(1, 7)),
    ),
    Planted(
        "what transformers computed is of another model",
        FILES,
        "an agreement with something else",
        "check_expected",
        change=other_expected_logits,
    ),
    Planted(
        "the clock was set during a phase",
        FILES,
        "packets in another phase",
        "check_consistency",
        change=recorded(
            "naive",
            lambda one: one["phases"][-1].update(
                end_unix_ns=one["phases"][-1]["end_unix_ns"] + 10**8
            ),
        ),
    ),
)


def _more_traffic(folder: Path) -> None:
    file = folder / "traffic" / "naive" / "rep1.csv"
    header, *rows = [line.split(",") for line in file.read_text().splitlines()]
    at = header.index("payload_bytes")
    rows[-1][at] = str(int(rows[-1][at]) + 1_000_000)
    file.write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")


PLANTED = (*OF_MODES, *OF_THE_CLOCK, *OF_THE_CAPTURE, *OF_THE_ARITHMETIC, *OF_THE_FILES)
