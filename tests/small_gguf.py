"""A small GGUF file: a Llama of two layers with a byte-level tokenizer, some weights quantised.

And a package that carries one.
"""

import zipfile
from pathlib import Path

import gguf
import numpy as np

EMBEDDING, FEED_FORWARD, HEADS, KV_HEADS, LAYERS = 64, 128, 4, 2, 2
Q8_0 = gguf.GGMLQuantizationType.Q8_0
# Pairs that the tokenizer joins: "the" is one token.
MERGES = ["t h", "th e"]


MEMBER = "small_model/small.gguf"


def write_wheel(index: Path, content: bytes) -> Path:
    """Write small-model 1.0, a package without code, which is enough for an installer."""
    about = "small_model-1.0.dist-info"
    files = {
        MEMBER: content,
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: small-model\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": "",
    }
    file = index / "small_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return file


def byte_alphabet() -> list[str]:
    """The letter for each byte that GPT-2's tokenizer and its kin have."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = iter(range(256, 512))
    return [chr(byte if byte in shown else next(hidden)) for byte in range(256)]


def write_small_gguf(file: Path, architecture: str = "llama") -> Path:
    """Write the file; its matrices are Q8_0, its vectors float32."""
    tokens = [*byte_alphabet(), *(merge.replace(" ", "") for merge in MERGES), "<end>", "<none>"]
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_name("small")
    writer.add_context_length(64)
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(EMBEDDING)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [gguf.TokenType.NORMAL] * (len(tokens) - 2) + [gguf.TokenType.CONTROL] * 2
    )
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(len(tokens) - 2)
    writer.add_eos_token_id(len(tokens) - 2)
    writer.add_pad_token_id(len(tokens) - 1)
    chooser = np.random.default_rng(0)
    keys = EMBEDDING // HEADS * KV_HEADS
    shapes = {"token_embd": (len(tokens), EMBEDDING)}
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.attn_q": (EMBEDDING, EMBEDDING),
            f"blk.{layer}.attn_k": (keys, EMBEDDING),
            f"blk.{layer}.attn_v": (keys, EMBEDDING),
            f"blk.{layer}.attn_output": (EMBEDDING, EMBEDDING),
            f"blk.{layer}.ffn_gate": (FEED_FORWARD, EMBEDDING),
            f"blk.{layer}.ffn_up": (FEED_FORWARD, EMBEDDING),
            f"blk.{layer}.ffn_down": (EMBEDDING, FEED_FORWARD),
        }
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(EMBEDDING, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(EMBEDDING, np.float32))
    for name, shape in shapes.items():
        weight = chooser.normal(0, 0.05, shape).astype(np.float32)
        writer.add_tensor(f"{name}.weight", gguf.quantize(weight, Q8_0), raw_dtype=Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
