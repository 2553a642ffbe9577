"""Write weights as GGUF, in their own precision, by llama.cpp's own converter.

    python convert.py SOURCE MODEL OUT      llama.cpp's source; a folder as transformers reads it

Tokens are numbers here, so no vocabulary is written: a model with seeded weights has none.
"""

import sys
import tempfile
from pathlib import Path

from transformers import AutoConfig, AutoModelForCausalLM

source, model, out = map(Path, sys.argv[1:])
sys.path.insert(0, str(source))

import convert_hf_to_gguf  # noqa: E402  it is in SOURCE
from conversion import get_model_class  # noqa: E402

config = AutoConfig.from_pretrained(model)
config.architectures = [AutoModelForCausalLM._model_mapping[type(config)].__name__]
get_model_class(config.architectures[0]).set_vocab = lambda self: self._set_vocab_none()
precision = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}[str(config.dtype)[6:]]
partial = out.with_suffix(".part")
with tempfile.TemporaryDirectory() as named:
    for file in model.glob("*.safetensors*"):
        Path(named, file.name).symlink_to(file.resolve())
    config.save_pretrained(named)
    sys.argv[1:] = [named, "--outtype", precision, "--outfile", str(partial)]
    convert_hf_to_gguf.main()
partial.rename(out)
