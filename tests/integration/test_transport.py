"""Every transport delivers the same, over TCP, whatever the hosts share; framing as documented."""

import os
import pickle
import time

import pytest
import torch
from torch.distributed import TCPStore, rpc

from forks import FORKS
from judges import needs
from patience import PATIENCE_S
from semgap.errors import ConfigError, TransportError, WorkerLostError
from semgap.measurement.tcpdump import capture
from semgap.pcap.reader import read_segments
from semgap.pcap.traffic_window import TrafficWindow
from semgap.pipeline.config import ALWAYS_WAITING, POSTING
from semgap.plumbing.registry import names_in
from semgap.plumbing.tcp_sockets import free_port, sockets_of
from semgap.policy import TensorClass
from semgap.protocol import Done, ReadMeters
from semgap.transport import Channel, ReplyMessage, RequestMessage, Timeouts, load_transport
from small_models import PROJECT

TRANSPORTS = ("torch_rpc", "tcp")
CALLS = 5
MINUTE_NS = 60_000_000_000
TENSORS = (0, 50, 200)
TIMEOUTS = Timeouts(connect_s=60.0, step_s=60.0)
BRIEF = Timeouts(connect_s=5.0, step_s=5.0)


def test_refused_to_send_without_waiting_where_a_transport_waits():
    channel = load_transport("torch_rpc").TorchRpcChannel(TIMEOUTS)
    with pytest.raises(ConfigError, match=r"always waits.*Set 'server.transport' to 'tcp'"):
        channel.post(RequestMessage(ReadMeters()))


def test_the_configuration_knows_which_transports_wait_and_which_executors_do_not():
    channels = {
        name: next(
            one
            for one in vars(load_transport(name)).values()
            if isinstance(one, type) and Channel in one.__bases__
        )
        for name in names_in("transport")
    }
    waiting = {name for name, channel in channels.items() if channel.post is Channel.post}
    assert waiting == set(ALWAYS_WAITING)
    folder = PROJECT / "scripts" / "semgap" / "execution"
    posting = {
        name
        for name in names_in("execution")
        if "_client.post(" in (folder / f"{name}.py").read_text(encoding="utf-8")
    }
    assert posting == set(POSTING)


class Echo:
    """Sends back what it was sent, twice as much of it."""

    device = torch.device("cpu")

    def handle(self, message):
        doubled = {
            name: [
                tensor + tensor if tensor.dtype is not torch.bool else tensor for tensor in group
            ]
            for name, group in message.tensors.items()
        }
        done = Done(message.received_ns, message.delivered_ns, 0, 0, 0.0, 0.0)
        return ReplyMessage(done, doubled)

    def discard(self):
        pass


class Silent(Echo):
    """Sends back nothing but a reply."""

    def handle(self, message):
        said = float(len(message.tensors))
        return ReplyMessage(Done(message.received_ns, message.delivered_ns, 0, 0, 0.0, said))


class Dying(Echo):
    """Is killed by the first request."""

    def handle(self, _message):
        os.abort()


def _serve(transport, port, handler, ready):
    load_transport(transport).serve("127.0.0.1", port, handler, TIMEOUTS, ready.set)


def _exchange(transport, port, messages, results):
    channel = load_transport(transport).connect("127.0.0.1", port, TIMEOUTS)
    for message in pickle.loads(messages):
        begin_ns = time.monotonic_ns()
        try:
            reply = channel.request(message)
        except WorkerLostError as error:
            results.put(("lost", str(error)))
            return
        done = reply.header
        stamps_ns = [begin_ns, reply.serialised_ns, done.received_ns, done.delivered_ns]
        stamps_ns += [reply.departing_ns, time.monotonic_ns()]
        if stamps_ns != sorted(stamps_ns):
            results.put(("out of order", stamps_ns))
            return
        # Sent as lists: the queue would move tensors through shared memory of this process.
        results.put(
            [
                (str(name), str(tensor.dtype), tuple(tensor.shape), tensor.float().tolist())
                for name, group in reply.tensors.items()
                for tensor in group
            ]
        )
    channel.close()


def _connect_twice(port, results):
    transport = load_transport("torch_rpc")
    transport.connect("127.0.0.1", port, TIMEOUTS).close()
    try:
        transport.connect("127.0.0.1", port, TIMEOUTS)
    except TransportError as error:
        results.put(str(error))


@pytest.fixture(params=TRANSPORTS)
def exchange(request):
    """Runs messages through a transport between two processes of their own."""
    processes = []

    def run(handler, *messages):
        port, ready, results = free_port("127.0.0.1"), FORKS.Event(), FORKS.Queue()
        # As bytes: as an argument, each tensor would take a descriptor of shared memory.
        sent = pickle.dumps(messages)
        for target, arguments in (
            (_serve, (request.param, port, handler, ready)),
            (_exchange, (request.param, port, sent, results)),
        ):
            processes.append(FORKS.Process(target=target, args=arguments, daemon=True))
            processes[-1].start()
            assert ready.wait(60)
        return [results.get(timeout=PATIENCE_S) for _ in messages]

    yield run
    for process in processes:
        process.join(30)
        process.kill()


def test_tensors_of_all_kinds_arrive_as_they_were(exchange):
    generator = torch.Generator().manual_seed(0)
    tensors = {
        TensorClass.WEIGHTS: [
            torch.randn(5, 7, generator=generator),
            torch.randn(3, generator=generator).to(torch.float16),
            torch.randn(2, 1, 9, generator=generator).to(torch.bfloat16),
            torch.zeros(0, 4),
            torch.tensor(2.5),
        ],
        TensorClass.KV_CACHE: [torch.randn(6, 8, generator=generator).t()],
        TensorClass.TOKENS: [torch.arange(12).view(1, 12), torch.tensor([True, False, True])],
    }
    (received,) = exchange(Echo(), RequestMessage(ReadMeters(), tensors))
    expected = [
        (str(name), str(tensor.dtype), tuple(tensor.shape), tensor.float())
        for name, group in tensors.items()
        for tensor in group
    ]
    assert len(received) == len(expected)
    for got, (name, dtype, shape, values) in zip(received, expected, strict=True):
        assert got[:3] == (name, dtype, shape)
        factor = 1 if dtype == "torch.bool" else 2
        assert torch.equal(torch.tensor(got[3]).view(shape), values * factor)


def test_more_tensors_than_one_system_call_takes(exchange):
    tensors = {TensorClass.KV_CACHE: [torch.full((3,), float(n)) for n in range(2_500)]}
    (received,) = exchange(Echo(), RequestMessage(ReadMeters(), tensors))
    assert [values for *_, values in received] == [[2.0 * n] * 3 for n in range(2_500)]


def test_a_message_of_many_socket_buffers(exchange):
    tensors = {TensorClass.KV_CACHE: [torch.arange(1_500_000, dtype=torch.int64)]}
    (received,) = exchange(Echo(), RequestMessage(ReadMeters(), tensors))
    assert received[0][3][-1] == 2 * 1_499_999


def test_a_dead_worker_is_named(exchange):
    ((kind, message),) = exchange(Dying(), RequestMessage(ReadMeters()))
    assert kind == "lost"
    assert "server's log" in message


def _client(transport, port, connection):
    channel = load_transport(transport).connect("127.0.0.1", port, TIMEOUTS)
    channel.request(RequestMessage(ReadMeters()))
    for count in TENSORS:
        tensors = {TensorClass.KV_CACHE: [torch.ones(256) for _ in range(count)]}
        connection.send(sockets_of(os.getpid()).connections)
        connection.recv()
        for _ in range(CALLS):
            channel.request(RequestMessage(ReadMeters(), tensors))
        connection.send("done")
        connection.recv()
    channel.close()


def test_a_second_session_of_pytorch_rpc_in_a_process_is_refused_at_once():
    port, ready, results = free_port("127.0.0.1"), FORKS.Event(), FORKS.Queue()
    arguments = ("torch_rpc", port, Silent(), ready)
    processes = [
        FORKS.Process(target=_serve, args=arguments, daemon=True),
        FORKS.Process(target=_connect_twice, args=(port, results), daemon=True),
    ]
    for process in processes:
        process.start()
        assert ready.wait(60)
    assert "one in a process at most" in results.get(timeout=PATIENCE_S)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


def _connect(host, port, results):
    try:
        load_transport("torch_rpc").connect(host, port, BRIEF)
    except TransportError as error:
        results.put(str(error))


def _wait_for_a_group(port, store_is_there):
    """Let a client find the store of a group that nobody else joins."""
    store = TCPStore("127.0.0.1", port, 2, is_master=True, wait_for_workers=False)
    store_is_there.set()
    time.sleep(60)
    del store


def test_a_worker_that_dies_while_the_group_forms_is_not_waited_for():
    port, store_is_there, results = free_port("127.0.0.1"), FORKS.Event(), FORKS.Queue()
    arguments = port, store_is_there
    worker = FORKS.Process(target=_wait_for_a_group, args=arguments, daemon=True)
    client = FORKS.Process(target=_connect, args=("127.0.0.1", port, results), daemon=True)
    worker.start()
    assert store_is_there.wait(60)
    client.start()
    assert "No PyTorch RPC group with the worker" in results.get(timeout=PATIENCE_S)
    worker.kill()
    client.join(60)


def test_a_worker_that_no_way_leads_to_is_named():
    results = FORKS.Queue()
    client = FORKS.Process(target=_connect, args=("255.255.255.255", 29_610, results), daemon=True)
    client.start()
    assert "the worker at 255.255.255.255:29610" in results.get(timeout=PATIENCE_S)
    client.join(60)


def _close_after_the_worker(port, agreed, gone):
    channel = load_transport("torch_rpc").connect("127.0.0.1", port, TIMEOUTS)
    forget_references = rpc.api._delete_all_user_and_unforked_owner_rrefs

    def wait_for_the_worker(*arguments):
        """Runs when both sides have agreed to end, before this one asks the store."""
        agreed.set()
        assert gone.wait(60)
        forget_references(*arguments)

    rpc.api._delete_all_user_and_unforked_owner_rrefs = wait_for_the_worker
    channel.close()


def _close_without_the_worker(port, connected, gone, results):
    channel = load_transport("torch_rpc").connect("127.0.0.1", port, BRIEF)
    connected.set()
    assert gone.wait(60)
    try:
        channel.close()
    except WorkerLostError as error:
        results.put(str(error))


def test_a_worker_that_died_before_the_session_ends_is_named():
    port, ready, connected, gone = (free_port("127.0.0.1"), *(FORKS.Event() for _ in range(3)))
    results = FORKS.Queue()
    worker = FORKS.Process(target=_serve, args=("torch_rpc", port, Silent(), ready), daemon=True)
    arguments = port, connected, gone, results
    client = FORKS.Process(target=_close_without_the_worker, args=arguments, daemon=True)
    worker.start()
    client.start()
    assert connected.wait(60)
    worker.kill()
    worker.join(60)
    gone.set()
    assert "did not end its side of the session" in results.get(timeout=PATIENCE_S)
    client.join(60)


def test_a_worker_of_pytorch_rpc_may_be_first_to_end():
    port, ready, agreed, gone = (free_port("127.0.0.1"), *(FORKS.Event() for _ in range(3)))
    worker = FORKS.Process(target=_serve, args=("torch_rpc", port, Silent(), ready), daemon=True)
    client = FORKS.Process(target=_close_after_the_worker, args=(port, agreed, gone), daemon=True)
    worker.start()
    client.start()
    assert agreed.wait(60)
    worker.kill()
    worker.join(60)
    gone.set()
    client.join(60)
    assert client.exitcode == 0


@needs("tcpdump")
@pytest.mark.parametrize(
    ("transport", "call_bytes", "tensor_bytes"),
    [("torch_rpc", (200, 700), (40, 130)), ("tcp", (20, 60), (8, 18))],
)
def test_tensors_cross_tcp_and_framing_is_linear(tmp_path, transport, call_bytes, tensor_bytes):
    port, ready = free_port("127.0.0.1"), FORKS.Event()
    mine, theirs = FORKS.Pipe()
    worker = FORKS.Process(target=_serve, args=(transport, port, Silent(), ready), daemon=True)
    client = FORKS.Process(target=_client, args=(transport, port, theirs), daemon=True)
    worker.start()
    assert ready.wait(60)
    client.start()
    up_bytes_per_call = []
    for count in TENSORS:
        sockets = mine.recv()
        window = TrafficWindow(0, time.time_ns() + MINUTE_NS, sockets)
        with capture("lo", tmp_path / f"{count}.pcap") as running:
            mine.send("go")
            assert mine.recv() == "done"
            running.stop()
        for segments in read_segments(tmp_path / f"{count}.pcap"):
            window.add(segments)
        up = window.count(sockets).payload_bytes
        up_bytes_per_call.append(up / CALLS)
        mine.send("next")
    client.join(60)
    worker.terminate()
    worker.join(60)
    assert client.exitcode == 0
    framing = [sent - count * 1024 for sent, count in zip(up_bytes_per_call, TENSORS, strict=True)]
    assert call_bytes[0] < framing[0] < call_bytes[1]
    for count, extra in zip(TENSORS[1:], framing[1:], strict=True):
        assert tensor_bytes[0] < (extra - framing[0]) / count < tensor_bytes[1]
