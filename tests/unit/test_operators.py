"""Operators that a client forwards: PyTorch's own samples of them, views, and what is released."""

import itertools

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db

from semgap.errors import ReferenceIdError, RemoteError
from semgap.execution import GenerationLimits, generate, load_executor
from semgap.inference.client import InferenceClient
from semgap.inference.forwarding import META, Forwarding
from semgap.inference.operands import Operands
from semgap.inference.worker import Worker
from semgap.model.device import CpuDevice
from semgap.model.weights import map_weights
from semgap.modes import policy_of
from semgap.protocol import Operate
from semgap.session.in_process import InProcessChannel
from small_models import store_small_model

CPU = torch.device("cpu")
# Those of a pass of GPT-J, GPT-2 and Llama, as PyTorch's list of samples calls them.
OPERATORS = (
    *("add", "addmm", "arange", "cat", "clone", "contiguous", "cos", "div", "empty", "expand"),
    *("flatten", "gather", "le", "matmul", "mean", "mul", "neg", "permute", "pow", "repeat"),
    *("repeat_interleave", "reshape", "rsqrt", "sin", "softmax", "split", "stack", "tanh", "to"),
    *("transpose", "unsqueeze", "view", "where", "zeros", "nn.functional.dropout"),
    *("nn.functional.embedding", "nn.functional.layer_norm", "nn.functional.linear"),
    *("nn.functional.scaled_dot_product_attention", "nn.functional.silu"),
    # In place, and views of several tensors.
    *("add", "chunk", "index_copy", "index_select", "masked_fill", "narrow", "select", "squeeze"),
)
SAMPLES = 8
# Whose content is nobody's, or drawn by chance.
UNDEFINED = ("empty", "nn.functional.dropout")


class Remote:
    """A client's operators, executed beside it."""

    def __init__(self):
        self.operands = Operands(CPU)
        self.sent = []
        self.forwarding = Forwarding(self._execute)

    def _execute(self, operation):
        self.sent.append(operation.operator)
        self.operands.execute(operation)

    def tensor(self, content):
        with torch.inference_mode():
            tensor = torch.empty_like(content, device=META)
        self.operands.keep((self.forwarding.new_handle(tensor),), [content.detach().clone()])
        return tensor

    def content(self, tensor):
        return self.operands.look_up(self.forwarding.handle_of(tensor))


@pytest.fixture
def remote():
    return Remote()


def mapped(value, change, device="cpu"):
    """A sample's arguments with other tensors, and for another device."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)(mapped(item, change, device) for item in value)
    if isinstance(value, dict):
        return {name: mapped(item, change, device) for name, item in value.items()}
    return device if str(value) == "cpu" else value


def tensors_of(result):
    return [result] if isinstance(result, torch.Tensor) else list(result)


@pytest.mark.parametrize("name", dict.fromkeys(OPERATORS))
def test_a_forwarded_operator_gives_what_it_gives_here(name, remote):
    info = next(one for one in op_db if one.name == name)
    compared = 0
    for sample in itertools.islice(info.sample_inputs("cpu", torch.float32), SAMPLES):
        values = (sample.input, *sample.args), sample.kwargs
        here = mapped(values, lambda one: one.detach().clone())
        there = mapped(values, remote.tensor, "meta")
        with torch.inference_mode():
            try:
                with remote.forwarding:
                    found = info.op(*there[0], **there[1])
            except RemoteError as error:
                # How many there are depends on the numbers.
                assert "depends on content that is on the worker" in error.cause
                continue
            expected = info.op(*here[0], **here[1])
        for ours, theirs in zip(tensors_of(found), tensors_of(expected), strict=True):
            content = remote.content(ours)
            assert (ours.shape, ours.stride(), ours.dtype) == (
                theirs.shape,
                theirs.stride(),
                theirs.dtype,
            )
            assert (content.shape, content.stride()) == (theirs.shape, theirs.stride())
            if name not in UNDEFINED:
                torch.testing.assert_close(content, theirs, rtol=0, atol=0, equal_nan=True)
            compared += 1
    assert compared


def test_a_view_sees_what_is_written_through_another(remote):
    tensor = remote.tensor(torch.zeros(2, 6))
    with torch.inference_mode(), remote.forwarding:
        left, right = tensor.split(3, dim=1)
        left.add_(1)
        right[0].fill_(7)
        turned = tensor.t()
        turned[5].mul_(2)
        tensor[:, 1:2].copy_(right[:, :1])
    expected = torch.tensor([[1.0, 7, 1, 7, 7, 14], [1, 0, 1, 0, 0, 0]])
    assert torch.equal(remote.content(tensor), expected)
    assert torch.equal(remote.content(turned), expected.t())
    assert torch.equal(remote.content(left), expected[:, :3])


def test_what_the_client_forgets_the_worker_forgets(remote):
    tensor = remote.tensor(torch.ones(3))
    with torch.inference_mode(), remote.forwarding:
        for _ in range(10):
            tensor = tensor + 1
        total = tensor.sum()
    # The last two, whose predecessors went with the next operator.
    assert len(remote.operands) == 2
    assert remote.content(total) == 33
    del tensor, total
    assert len(remote.forwarding.released()) == 2


def test_numbers_of_the_clients_own_cross_with_the_operator(remote):
    ones = remote.tensor(torch.ones(3))
    with torch.inference_mode(), remote.forwarding:
        found = ones * torch.tensor(2.5)
        own = torch.ones(2) + 1
    assert torch.equal(remote.content(found), torch.full((3,), 2.5))
    assert torch.equal(own, torch.tensor([2.0, 2.0]))
    assert remote.sent == ["aten.full.default", "aten.mul.Tensor"]


def test_a_number_made_on_the_workers_device_is_not_forgotten(remote):
    make = torch.tensor
    with torch.inference_mode(), remote.forwarding:
        made = torch.tensor(2.5, dtype=torch.float16, device=META) * 2
        own = torch.tensor([1, 2])
    assert torch.equal(remote.content(made), torch.tensor(5.0, dtype=torch.float16))
    assert torch.equal(own, torch.tensor([1, 2]))
    assert torch.tensor is make


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        (lambda one: one + torch.ones(3), "whose content the worker does not have"),
        (lambda one: one + torch.tensor([1.0, 2, 3], device=META), "does not have"),
        (lambda one: one.nonzero(), "depends on content that is on the worker"),
        (lambda one: one.sum().item(), "depends on content that is on the worker"),
    ],
    ids=["the client's tensor", "numbers that are not one", "a shape", "a number"],
)
def test_refused_what_needs_content_on_the_other_side(remote, needs, said):
    ones = remote.tensor(torch.ones(3))
    with torch.inference_mode(), remote.forwarding, pytest.raises(RemoteError, match=said):
        needs(ones)


@pytest.mark.parametrize(
    ("operator", "said"),
    [
        ("aten.nothing.default", "There is no operator"),
        ("prims.sin.default", "There is no operator"),
        ("aten.sin", "There is no operator"),
    ],
)
def test_refused_what_is_no_operator_of_aten(remote, operator, said):
    with pytest.raises(RemoteError, match=said):
        remote.operands.execute(Operate(operator, [], {}, (), ()))


def test_refused_a_handle_that_names_nothing(remote):
    with pytest.raises(ReferenceIdError, match="no tensor under the handle 5"):
        remote.operands.execute(Operate("aten.sin.default", [{"t": 5}], {}, (6,), ()))


def test_the_workers_tensors_are_as_many_after_a_thousand_steps(tmp_path):
    folder, manifest = store_small_model("llama-grouped-query", tmp_path)
    worker, policy = Worker(CpuDevice()), policy_of("op_sync")
    weights = map_weights(folder, manifest)
    client = InferenceClient(InProcessChannel(worker), policy, manifest, weights)
    client.configure("eager")
    limits = GenerationLimits(500, logits_to_keep=1, max_steps=1003)
    executor = load_executor(policy.executor).open_executor(client, limits)
    executor.setup()
    found = set()
    for number, record in enumerate(itertools.islice(generate(executor, [3, 1, 4]), 1003)):
        assert record.requests > 100
        if number > 2:
            found.add(len(worker._operands))
    assert len(found) == 1
    executor.reset()
    next(generate(executor, [3, 1, 4]))
    assert len(worker._operands) <= found.pop()
