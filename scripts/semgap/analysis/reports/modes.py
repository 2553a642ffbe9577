"""modes.md: what each mode of the table does with each class of tensor."""

from semgap.analysis.numbers.numbers import Numbers
from semgap.plumbing.markup import escaped_markdown, markdown_table
from semgap.policy import Policy, TensorClass, WorkerPlace

_WORDS = {
    (TensorClass.WEIGHTS, "inline"): "sent with every step",
    (TensorClass.WEIGHTS, "resident"): "sent once, at start-up",
    (TensorClass.KV_CACHE, "inline"): "sent with every step, returned by it",
    (TensorClass.KV_CACHE, "resident"): "stays remote under a reference ID",
    (TensorClass.LOGITS, "inline"): "returned by every step",
    (TensorClass.LOGITS, "resident"): "stay remote; the token is returned",
}
_CLASSES = (TensorClass.WEIGHTS, TensorClass.KV_CACHE, TensorClass.LOGITS)


def modes_markdown(numbers: Numbers) -> str:
    """A row for each mode, in the order of the table."""
    policies = {record.mode: record.policy for record in numbers.records}
    cells = [
        [
            escaped_markdown(label.text),
            f"`{mode}`",
            *(_place(policies[mode], tensor_class) for tensor_class in _CLASSES),
        ]
        for mode, label in numbers.labels.items()
    ]
    header = ("Mode", "In files", "Weights", "KV cache", "Logits")
    return f"""\
# Modes

The same model answers the same prompt in each mode. They differ in one thing: where weights and KV
cache live between two steps. A framework-level system knows which tensor is which; `\\sys` is where
a paper puts the name of its own system (`labels` in the configuration).

{markdown_table(header, cells, text_columns=len(header))}
"""


def _place(policy: Policy, tensor_class: TensorClass) -> str:
    if policy.worker is WorkerPlace.IN_PROCESS:
        return "on the device, nothing is sent"
    place: str = getattr(policy, tensor_class)
    return _WORDS.get((tensor_class, place), f"`{place}`")
