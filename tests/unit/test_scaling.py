"""A sweep's law: it finds constants that are known, and says where it does not hold."""

from dataclasses import replace

import msgspec
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from recorded import numbers_of, sweep_of
from semgap.analysis.numbers.prediction import predict
from semgap.analysis.scaling.explorer import explorer
from semgap.analysis.scaling.findings import findings_of
from semgap.analysis.scaling.law import Law, fit, held_out
from semgap.analysis.scaling.points import Link, Point, Shape, load_of, points_in, shape_of
from semgap.analysis.scaling.report import scaling_markdown
from semgap.analysis.scaling.shapes import read_shapes
from semgap.errors import ConfigError, MeasurementError
from semgap.maintain.archive import REFERENCE
from semgap.maintain.readme_parts import sweeps_in
from semgap.model.skeleton import ModelSkeleton
from semgap.modes import policy_of
from semgap.policy import Label
from small_models import PROJECT

SHAPES = read_shapes(PROJECT / "config" / "models" / "shapes.yaml")
MODES = ("local", "naive", "remote_cache", "semantic")
SWEEPS = [folder.name for folder in sweeps_in(REFERENCE)]
SMALL = Shape("small", 77_000_000, 308_000_000, 32_768, 201_028)


def points_of(law, links, prompts=(128,)):
    """What a sweep would measure if the law held."""
    for link in links:
        for prompt in prompts:
            for mode in MODES:
                for phase in ("prefill", "decode"):
                    load = load_of(policy_of(mode), SMALL, phase, prompt)
                    yield Point(
                        *(f"{link}-{prompt}", mode, phase, prompt, link, load),
                        latency_s=law.step_s((mode, phase), load, link),
                        compute_s=law.compute_s((mode, phase), load),
                        socket_s_per_byte=5e-10,
                    )


def places(of_local, of_others):
    return {
        (mode, phase): of_local if mode == "local" else of_others
        for mode in MODES
        for phase in ("prefill", "decode")
    }


LAWS = st.builds(
    Law,
    memory_s_per_byte=st.floats(1e-11, 1e-10),
    compute_s_per_flop=st.floats(1e-13, 1e-11),
    in_process_s=st.floats(1e-5, 1e-3),
    message_s=st.floats(1e-4, 1e-3),
    wire_bytes_per_byte=st.floats(1, 1.2),
    host_s_per_byte=st.floats(1e-10, 4e-10),
    more_compute_s=st.just(places(0.0, 0.0)),
    round_trips=st.floats(1, 8).map(lambda trips: places(1.0, trips)),
)
# The hosts above carry 20 Gbit/s at least, so at each rate the wire is slower.
LINKS = [Link(rate, delay) for rate in (0.5, 2, 8) for delay in (0.0, 10.0)] + [Link(None)]


@given(law=LAWS)
def test_known_constants_are_found_again(law):
    found = fit(list(points_of(law, LINKS, (128, 1024))))
    for name in (
        *("memory_s_per_byte", "compute_s_per_flop", "in_process_s", "message_s"),
        *("wire_bytes_per_byte", "host_s_per_byte"),
    ):
        assert getattr(found, name) == pytest.approx(getattr(law, name), rel=1e-3), name
    for place, trips in law.round_trips.items():
        if place[0] != "local":
            assert found.round_trips[place] == pytest.approx(trips, rel=1e-3)


@given(law=LAWS)
def test_a_point_that_was_left_out_is_where_the_others_say(law):
    links = [*LINKS, Link(None, 10.0)]
    held = held_out(list(points_of(law, links)))
    assert len(held) == len(links) * len(MODES) * 2
    assert max(abs(one.error) for one in held) < 1e-3


def test_a_slow_processor_at_one_point_is_told_from_a_slow_network():
    law = Law(
        *(5e-11, 1e-12, 1e-4, 2e-4, 1.05, 2e-10),
        more_compute_s=places(0.0, 0.0),
        round_trips=places(1.0, 2.0),
    )
    points = list(points_of(law, LINKS))
    busy, *_ = [one for one in points if one.place == ("semantic", "decode")]
    slow = replace(busy, compute_s=2 * busy.compute_s, latency_s=busy.latency_s + busy.compute_s)
    (held,) = [
        one
        for one in held_out([slow if one is busy else one for one in points])
        if one.point is slow
    ]
    assert abs(held.error) > 0.3
    assert abs(held.error_beside_compute) < 0.01


@pytest.mark.parametrize("name", ["mini-tcp", "smollm2-tcp"])
def test_loads_are_what_the_gates_predict_and_what_was_sent(name):
    numbers = numbers_of(name)
    for point in points_in([numbers]):
        (record, *_) = [one for one in numbers.records if one.mode == point.mode]
        shape = shape_of(numbers.manifest, record.prompt_tokens)
        load = load_of(record.policy, shape, point.phase, record.prompt_tokens)
        (phase,) = [one for one in record.phases if one.name == point.phase]
        first = phase.steps[0]
        if record.mode != "local":
            assert (load.up_bytes, load.down_bytes) == (
                first.total_up_bytes,
                first.total_down_bytes,
            )
        rows = [one for one in predict(record, numbers.manifest) if one.phase == point.phase]
        assert (load.crossing_bytes > 0) == any(row.expected_bytes for row in rows)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_shapes_are_those_that_transformers_makes(shape):
    sizes = {
        "GPT-J 6B": {"n_layer": 28, "n_embd": 4096, "n_head": 16, "rotary_dim": 64},
        "Llama 2 7B": {"intermediate_size": 11008},
        "Llama 3.1 8B": {"intermediate_size": 14336},
        "Llama 3.1 70B": {
            "hidden_size": 8192,
            "intermediate_size": 28672,
            "num_hidden_layers": 80,
            "num_attention_heads": 64,
        },
        "Llama 3.1 405B": {
            "hidden_size": 16384,
            "intermediate_size": 53248,
            "num_hidden_layers": 126,
            "num_attention_heads": 128,
        },
    }[shape.name]
    if shape.name.startswith("Llama 3"):
        sizes |= {"num_key_value_heads": 8, "vocab_size": 128256}
    config = transformers.AutoConfig.for_model(
        "gptj" if "GPT-J" in shape.name else "llama", **sizes
    )
    model = ModelSkeleton(config.to_json_string(use_diff=False), torch.float16, torch.device("cpu"))
    assert sum(one.numel() for one in model.module.parameters()) == shape.parameters
    text = model.config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = text.hidden_size // text.num_attention_heads
    assert shape.kv_bytes_per_position == 2 * text.num_hidden_layers * heads * size * 2
    assert shape.logits_bytes_per_position == 2 * text.vocab_size


@pytest.mark.parametrize("name", SWEEPS)
def test_every_recorded_point_is_near_the_law_or_says_why(name):
    found = findings_of(name, sweep_of(name))
    text = scaling_markdown(found, SHAPES)
    assert found.held
    for one in found.held:
        if abs(one.error) > 0.1:
            assert f"- {one.point.experiment}, {one.point.mode}, {one.point.phase}: " in text
    shaped = [one for one in found.held if one.point.link.rate_gbit is not None]
    assert bool(shaped) == name.endswith("links")
    assert all(abs(one.error_beside_compute) < 0.1 for one in shaped)


def test_other_tokens_for_the_same_prompt_are_refused():
    one, other, *_ = sweep_of(SWEEPS[0])
    prompt = one.records[0].prompt_sha256
    same = [
        msgspec.structs.replace(record, prompt_sha256=prompt, token_ids=(1, 2))
        for record in other.records
    ]
    with pytest.raises(MeasurementError, match="the same model and prompt"):
        findings_of("two", [one, replace(other, records=same)])


def test_a_sweep_without_local_has_no_law():
    points = [point for point in points_in(sweep_of(SWEEPS[0])) if point.mode != "local"]
    with pytest.raises(MeasurementError, match="No point has the mode 'local'"):
        fit(points)


def test_a_model_of_unknown_form_is_refused(tmp_path):
    (tmp_path / "shapes.yaml").write_text("- {name: x, parameters: many}\n")
    with pytest.raises(ConfigError, match="parameters"):
        read_shapes(tmp_path / "shapes.yaml")


def test_a_label_cannot_end_the_pages_script():
    found = findings_of("x", sweep_of(SWEEPS[0]))
    label = Label("</script><b>")
    page = explorer(replace(found, labels={**found.labels, "local": label}), SHAPES)
    assert "</script><b>" not in page
