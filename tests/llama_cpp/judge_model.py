"""Hold a packaged model's tokens and logits against llama.cpp's, which shares no code with PyTorch.

Usage: judge_model.py EXPERIMENT, a folder of results whose prompt has been made. Writes
docs/llama-cpp.md, and ends with 1 where rounding does not explain a difference.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semgap.inference.agreement import compare_with_transformers
from semgap.model.manifest import Manifest
from semgap.model.prompt import Prompt
from semgap.model.text import text_of
from semgap.plumbing.files import digest_of, read_record
from semgap.plumbing.markup import escaped_markdown, markdown_table
from small_models import PROJECT

STEPS = 64
# Two ways to compute round independently of each other: each may move a logit by what was seen.
GAP_IN_DIFFERENCES = 2.0
GREEDY = PROJECT / "build" / "llama.cpp" / "greedy"
REPORT = PROJECT / "docs" / "llama-cpp.md"


@dataclass(frozen=True)
class Judged:
    """How far llama.cpp goes the same way, and how near the logits are until there."""

    same_tokens: int  # before the first that differs; STEPS if none does
    largest_difference: float  # of a logit, over the steps whose input is the same
    largest_logit: float
    gap: float | None  # between the two tokens' logits here, at the first that differs

    @property
    def explained(self) -> bool:
        return self.gap is None or self.gap <= GAP_IN_DIFFERENCES * self.largest_difference


def judged(ours: np.ndarray, theirs: np.ndarray) -> Judged:
    """Compare logits of shape (steps, vocabulary) as far as both have chosen the same tokens."""
    chosen, other = ours.argmax(axis=1), theirs.argmax(axis=1)
    differing = np.flatnonzero(chosen != other)
    same = int(differing[0]) if len(differing) else len(ours)
    compared = slice(0, same + 1)
    return Judged(
        same,
        float(np.abs(ours[compared] - theirs[compared]).max()),
        float(np.abs(ours[compared]).max()),
        float(ours[same, chosen[same]] - ours[same, other[same]]) if len(differing) else None,
    )


def greedy(*arguments: object) -> list[int]:
    done = subprocess.run(
        [GREEDY, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


def decoded(model: Path, prompt: Sequence[int], vocabulary_size: int) -> np.ndarray:
    """What llama.cpp computes on one thread, shape (STEPS, vocabulary)."""
    logits = GREEDY.with_name("logits.bin")
    greedy("decode", model, 1, STEPS, logits, *prompt)
    return np.fromfile(logits, np.float32).reshape(STEPS, vocabulary_size)


def report(manifest: Manifest, of: dict[str, Judged], text: str, tokens_agree: bool) -> str:
    rows = [
        (
            name,
            f"{one.same_tokens} of {STEPS}",
            f"{one.largest_difference:.2g}",
            "–" if one.gap is None else f"{one.gap:.2g}",
            "yes" if one.explained else "NO",
        )
        for name, one in of.items()
    ]
    header = (
        *("llama.cpp computes with", "Same tokens", "Largest difference of a logit"),
        *("Gap where tokens part", "Explained by rounding"),
    )
    largest = max(one.largest_logit for one in of.values())
    packed = manifest.dequantised_from
    name = packed.name if packed else manifest.name
    return (
        "# A judge outside PyTorch\n\n<!-- made by `make judge-model` -->\n\n"
        f"llama.cpp reads `{name}` itself and decodes {STEPS} tokens after the prompt of "
        f"`config/smollm2.yaml`, always the likeliest. Its tokeniser "
        f"{'gives the same' if tokens_agree else 'GIVES OTHER'} tokens for the prompt.\n\n"
        f"{markdown_table(header, rows)}\n\n"
        f"The largest logit is {largest:.0f}. As the file stands, llama.cpp multiplies 4-bit "
        "weights with activations that it rounds to 8 bits, so its logits differ by more; "
        "dequantised by its own code to float32, what differs is the order of additions. Two "
        f"tokens may part where our logits are nearer than {GAP_IN_DIFFERENCES:g} times the "
        "largest difference that was seen until there.\n\n"
        f"The continuation here: “{escaped_markdown(' '.join(text.split()))}”\n"
    )


def main(results: Path) -> None:
    """Compare, write the report, and fail where something is not explained."""
    manifest = read_record(results / "model" / "manifest.json", Manifest)
    prompt = read_record(results / "model" / "prompt.json", Prompt)
    models = results.parent / "models"
    stored = models / manifest.weights_id / "weights"
    packed = manifest.dequantised_from
    assert packed is not None, "this experiment's model is in no GGUF file"
    (source,) = (
        file for file in models.glob(f"*/*/{packed.name}") if digest_of(file) == packed.sha256
    )
    remedy = "Make the model anew."
    ours = compare_with_transformers(
        *(stored, source.parent, "eager", manifest.dtype, remedy, prompt.token_ids, STEPS - 1)
    )
    in_float32 = GREEDY.with_name("float32.gguf")
    greedy("dequantise", source, in_float32)
    of = {
        what: judged(ours.logits, decoded(model, prompt.token_ids, manifest.vocabulary_size))
        for what, model in (("its weights in float32", in_float32), ("the file as it is", source))
    }
    tokens_agree = greedy("tokens", source, prompt.text) == list(prompt.token_ids)
    text = report(manifest, of, text_of(ours.agreement.token_ids, stored), tokens_agree)
    REPORT.write_text(text, encoding="utf-8")
    print(text)
    sys.exit(not (tokens_agree and all(one.explained for one in of.values())))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
