"""PyTorch RPC crosses TCP, whatever the hosts share, and its framing is what the tests assume."""

from __future__ import annotations

import multiprocessing
import os
import shutil

import pytest
import torch

from semgap.meters.capture import capture
from semgap.meters.pcap import read_tcp_segments
from semgap.meters.sockets import sockets_of
from semgap.policy import TensorClass
from semgap.protocol import Done, Ping
from semgap.server.supervisor import free_port
from semgap.transport import torch_rpc
from semgap.transport.base import ReplyMessage, RequestMessage, Timeouts

CALLS = 5
TENSORS = (0, 50, 200)
TIMEOUTS = Timeouts(connect_s=60.0, step_s=60.0)


class Echo:
    """Sends back nothing but a reply."""

    def handle(self, message):
        count = len(message.tensors.get(TensorClass.KV_CACHE, ()))
        return ReplyMessage(Done(0, 0, 0.0, float(count)))

    def settle(self):
        pass


def _serve(port):
    torch_rpc.serve("127.0.0.1", port, Echo(), TIMEOUTS)


def _client(port, connection):
    channel = torch_rpc.connect("127.0.0.1", port, TIMEOUTS)
    channel.request(RequestMessage(Ping()))
    for count in TENSORS:
        tensors = {TensorClass.KV_CACHE: [torch.ones(256) for _ in range(count)]}
        connection.send(sockets_of(os.getpid()))
        connection.recv()
        for _ in range(CALLS):
            reply = channel.request(RequestMessage(Ping(), tensors))
            assert reply.header.cpu_s == count
        connection.send("done")
        connection.recv()
    channel.close()


@pytest.mark.skipif(
    shutil.which("tcpdump", path="/usr/sbin:/usr/bin:/sbin:/bin") is None,
    reason="tcpdump is not installed",
)
def test_tensors_cross_tcp_and_framing_is_linear(tmp_path):
    context = multiprocessing.get_context("spawn")
    port = free_port("127.0.0.1")
    mine, theirs = context.Pipe()
    worker = context.Process(target=_serve, args=(port,), daemon=True)
    client = context.Process(target=_client, args=(port, theirs), daemon=True)
    worker.start()
    client.start()
    up_bytes_per_call = []
    for count in TENSORS:
        sockets = mine.recv()
        ends = {(pair.local_port, pair.remote_port) for pair in sockets}
        with capture("lo", tmp_path / f"{count}.pcap") as running:
            mine.send("go")
            assert mine.recv() == "done"
            running.stop()
        up = sum(
            int(length)
            for batch in read_tcp_segments(tmp_path / f"{count}.pcap")
            for source, target, length in zip(
                batch.src_port.tolist(),
                batch.dst_port.tolist(),
                batch.payload_bytes.tolist(),
                strict=True,
            )
            if (source, target) in ends
        )
        up_bytes_per_call.append(up / CALLS)
        mine.send("next")
    client.join(60)
    worker.terminate()
    worker.join(60)
    assert client.exitcode == 0
    framing = [sent - count * 1024 for sent, count in zip(up_bytes_per_call, TENSORS, strict=True)]
    assert 400 < framing[0] < 1_200
    for count, extra in zip(TENSORS[1:], framing[1:], strict=True):
        assert 40 < (extra - framing[0]) / count < 130
