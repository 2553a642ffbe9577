"""The engine with a static cache computes what the eager one does, and moves the same bytes."""

import itertools

import pytest
import torch

from semgap.engine import load_engine
from semgap.engine.graph import build_engine
from semgap.engine.graph_parts.fused_gptj import fits
from semgap.errors import ModelError
from semgap.execution import GenerationLimits, generate
from semgap.execution.forward_pass import open_executor
from semgap.inference.client import InferenceClient
from semgap.inference.worker import Worker
from semgap.model.device import CpuDevice
from semgap.model.skeleton import ModelSkeleton
from semgap.model.weights import map_weights
from semgap.modes import POLICIES, policy_of
from semgap.placements.delta import PLACEMENT as DELTA
from semgap.placements.inline import PLACEMENT as INLINE
from semgap.session.in_process import InProcessChannel
from semgap.state import Kept, KvCache
from small_models import ARCHITECTURES, store_model

MODELS = {
    **{name: ARCHITECTURES[name] for name in ("gptj", "gpt2-tied", "llama-grouped-query")},
    # Its layers are not those that are written anew.
    "gptj-relu": {**ARCHITECTURES["gptj"], "activation_function": "relu"},
}
PROMPT = [3, 1, 4, 1, 5, 9, 2, 6]
# Over the end of the first block, and of the second.
STEPS = 130
by_mode = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.mode)


@pytest.fixture(scope="module", params=MODELS)
def stored(request, tmp_path_factory):
    """A small model with room for a long answer."""
    context = "max_position_embeddings" if "llama" in request.param else "n_positions"
    architecture = {**MODELS[request.param], context: 256}
    return store_model(architecture, tmp_path_factory.mktemp(request.param))


def generated(stored, policy, engine, steps):
    """The answer, and the step records."""
    executor = executor_of(stored, policy, engine, steps)
    records = list(itertools.islice(generate(executor, PROMPT), 1 + steps))
    return executor.answer(), records


def executor_of(stored, policy, engine, steps):
    folder, manifest = stored
    client = InferenceClient(
        InProcessChannel(Worker(CpuDevice())), policy, manifest, map_weights(folder, manifest)
    )
    client.configure(engine)
    client.setup()
    limits = GenerationLimits(manifest.vocabulary_size, logits_to_keep=1, max_steps=1 + steps)
    return open_executor(client, limits)


def test_a_long_answer_is_that_of_the_eager_engine(stored):
    policy = policy_of("local")
    (eager, _), (graph, _) = (generated(stored, policy, name, STEPS) for name in ("eager", "graph"))
    # Even where one token is chosen again and again, each step computes something else.
    assert abs(graph.logits[1:] - graph.logits[:-1]).max(axis=1).min() > 1e-3
    assert graph.token_ids == eager.token_ids
    assert abs(graph.logits - eager.logits).max() < 1e-4


def weights_of(stored):
    """Weights that float16 holds exactly, none of them constant: seeded biases are zero."""
    folder, manifest = stored
    generator = torch.Generator().manual_seed(0)
    return [
        (weight + 0.02 * torch.randn(weight.shape, generator=generator)).half().float()
        for weight in map_weights(folder, manifest)
    ]


def logits_of(stored, engine_name, dtype):
    """Logits after a prompt and after each of 40 given tokens."""
    _folder, manifest = stored
    skeleton = ModelSkeleton(manifest.model_config, dtype, torch.device("cpu"))
    engine = load_engine(engine_name).build_engine(skeleton)
    weights = [weight.to(dtype) for weight in weights_of(stored)]
    engine.bind([tensor.name for tensor in manifest.tensors], weights)
    kv_cache, found = KvCache(), []
    for tokens in (PROMPT, *([token] for token in range(40))):
        logits, kv_cache = engine.forward(torch.tensor([tokens]), kv_cache, 1)
        found.append(logits[0, -1].double())
    return torch.stack(found)


def test_in_half_precision_it_is_no_farther_from_the_exact_answer_than_the_eager_engine(stored):
    exact = logits_of(stored, "eager", torch.float64)
    eager, graph = (logits_of(stored, name, torch.float16) - exact for name in ("eager", "graph"))
    assert graph.square().mean().sqrt() < 1.1 * eager.square().mean().sqrt()
    assert graph.abs().max() < 2e-3 * exact.abs().max()


def test_every_weight_is_computed_with(stored):
    eager, graph = (logits_of(stored, name, torch.float32) for name in ("eager", "graph"))
    torch.testing.assert_close(graph, eager, rtol=0, atol=1e-5)


def test_the_layers_of_gptj_are_fused_where_they_are_those_of_the_model(stored):
    _folder, manifest = stored
    skeleton = ModelSkeleton(manifest.model_config, torch.float32, torch.device("cpu"))
    config = skeleton.config
    fused = config.model_type == "gptj" and config.activation_function == "gelu_new"
    assert fits(config) == fused
    assert bool(build_engine(skeleton)._pass.places) == fused


@by_mode
def test_every_policy_answers_as_local_and_moves_the_bytes_of_the_eager_engine(stored, policy):
    local, _ = generated(stored, policy_of("local"), "graph", 5)
    answer, records = generated(stored, policy, "graph", 5)
    assert (answer.logits == local.logits).all()
    _, of_eager = generated(stored, policy, "eager", 5)
    for one, other in zip(records, of_eager, strict=True):
        assert (one.up_bytes, one.down_bytes) == (other.up_bytes, other.down_bytes)
        assert (one.up_tensors, one.down_tensors) == (other.up_tensors, other.down_tensors)


@by_mode
def test_a_second_generation_sees_nothing_of_the_first(stored, policy):
    executor = executor_of(stored, policy, "graph", 2)
    answers = []
    for _ in range(2):
        executor.reset()
        assert len(list(itertools.islice(generate(executor, PROMPT), 3))) == 3
        answers.append(executor.answer())
    assert (answers[0].logits == answers[1].logits).all()


def engine_of(stored):
    folder, manifest = stored
    skeleton = ModelSkeleton(manifest.model_config, torch.float32, torch.device("cpu"))
    engine = build_engine(skeleton)
    names = [tensor.name for tensor in manifest.tensors]
    engine.bind(names, map_weights(folder, manifest))
    return engine


def prompt(*more):
    return torch.tensor([[*PROMPT, *more]])


def test_what_another_pass_has_overwritten_cannot_be_continued(stored):
    engine = engine_of(stored)
    _, first = engine.forward(prompt(), KvCache(), 1)
    copy = first.copied()
    _, second = engine.forward(prompt(7), KvCache(), 1)
    # The second would need a larger memory.
    for tokens in ([1], list(range(100))):
        with pytest.raises(ModelError, match="memory another pass has used since"):
            engine.forward(torch.tensor([tokens]), first, 1)
    after_copy, _ = engine.forward(torch.tensor([[7]]), copy, 1)
    whole, _ = engine.forward(prompt(7), KvCache(), 1)
    torch.testing.assert_close(after_copy, whole)
    assert second.length == len(PROMPT) + 1


def test_nothing_is_left_of_a_cache_that_went_back(stored):
    engine = engine_of(stored)
    _, after = engine.forward(prompt(), KvCache(), 1)
    returned = after.valid()
    after.forget()
    assert all(tensor.isfinite().all() for tensor in returned)
    assert all(tensor[..., 0].isnan().all() for tensor in after.tensors)
    logits, _ = engine.forward(torch.tensor([[7]]), KvCache(returned, after.length), 1)
    whole, _ = engine.forward(prompt(7), KvCache(), 1)
    torch.testing.assert_close(logits, whole)


def test_a_cache_that_lacks_a_tensor_is_refused(stored):
    engine = engine_of(stored)
    _, after = engine.forward(prompt(), KvCache(), 1)
    with pytest.raises(ModelError, match=r"A KV cache of 3 tensors came; the model's has 4"):
        engine.forward(torch.tensor([[7]]), KvCache(after.valid()[1:], after.length), 1)


def test_without_weights_nothing_is_computed(stored):
    engine = engine_of(stored)
    engine.forward(prompt(), KvCache(), 1)
    engine.release()
    with pytest.raises(ModelError, match="weights are not there"):
        engine.forward(prompt(), KvCache(), 1)


def test_of_weights_that_came_for_one_pass_nothing_is_left(stored):
    engine = engine_of(stored)
    engine.release()
    places = engine._pass.places
    assert all(place[..., 0].isnan().all() for place in places.values())


def test_a_weight_of_another_shape_is_refused(stored):
    engine = engine_of(stored)
    _folder, manifest = stored
    name = next(iter(engine._pass.places), manifest.tensors[0].name)
    with pytest.raises(ModelError, match="the architecture needs"):
        engine.bind([name], [torch.zeros(1, 1)])


@pytest.mark.parametrize("name", ["mistral-window", "mamba-state", "bloom-alibi"])
def test_a_model_whose_cache_has_no_fixed_place_is_refused(name, tmp_path):
    _folder, manifest = store_model(ARCHITECTURES[name], tmp_path)
    with pytest.raises(ModelError, match=r"Set worker\.engine to 'eager'"):
        build_engine(ModelSkeleton(manifest.model_config, torch.float32, torch.device("cpu")))


@pytest.mark.parametrize("placement", [INLINE, DELTA], ids=["inline", "delta"])
def test_where_a_cache_goes_back_its_memory_is_made_unusable(stored, placement):
    engine = engine_of(stored)
    _, static = engine.forward(prompt(), KvCache(), 1)
    returned, _reference_id = placement.leave(Kept(), KvCache(), static)
    assert all(tensor.isfinite().all() for tensor in returned)
    assert all(tensor[..., 0].isnan().all() for tensor in static.tensors)
