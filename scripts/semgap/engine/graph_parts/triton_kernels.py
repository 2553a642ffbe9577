"""What a decode step computes on a GPU, in Triton; ``decode_kernels`` says what each is for.

Sums are of float32, in an order that does not vary; what PyTorch's operators would round to the
model's dtype between two of them, these round, too.
"""

import triton
import triton.language as tl


@triton.jit
def _gelu(x):
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    return x - x / (tl.exp(2 * inner) + 1)


@triton.jit
def _rows_times(weight_at, x, at, mask, columns, there, WIDTH: tl.constexpr):
    places = weight_at + at[:, None].to(tl.int64) * WIDTH + columns[None, :]
    weight = tl.load(places, mask[:, None] & there[None, :], 0.0).to(tl.float32)
    return tl.sum(weight * x[None, :], 1)


@triton.jit
def normed_product(
    x_at,
    scale_at,
    shift_at,
    eps,
    weight_at,
    bias_at,
    out_at,
    rows,
    WIDTH: tl.constexpr,
    PADDED: tl.constexpr,
    ROWS: tl.constexpr,
    CENTRED: tl.constexpr,
    BIASED: tl.constexpr,
    GELU: tl.constexpr,
    GATED: tl.constexpr,
):
    columns = tl.arange(0, PADDED)
    there = columns < WIDTH
    x = tl.load(x_at + columns, there, 0.0).to(tl.float32)
    if CENTRED:
        x = tl.where(there, x - tl.sum(x) / WIDTH, 0.0)
    x *= tl.rsqrt(tl.sum(x * x) / WIDTH + eps)
    x *= tl.load(scale_at + columns, there, 0.0).to(tl.float32)
    if CENTRED:
        x += tl.load(shift_at + columns, there, 0.0).to(tl.float32)
    dtype = out_at.dtype.element_ty
    x = x.to(dtype).to(tl.float32)
    for first in tl.range(tl.program_id(0) * ROWS, rows, tl.num_programs(0) * ROWS):
        at = first + tl.arange(0, ROWS)
        mask = at < rows
        made = _rows_times(weight_at, x, at, mask, columns, there, WIDTH)
        if BIASED:
            made += tl.load(bias_at + at, mask, 0.0).to(tl.float32)
        made = made.to(dtype).to(tl.float32)
        if GELU:
            made = _gelu(made)
        if GATED:
            other = _rows_times(weight_at, x, at + rows, mask, columns, there, WIDTH)
            made = (made / (1 + tl.exp(-made))).to(dtype).to(tl.float32) * other.to(dtype)
        tl.store(out_at + at, made, mask)


@triton.jit
def added_product(
    x_at,
    weight_at,
    bias_at,
    residual_at,
    out_at,
    rows,
    WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    BIASED: tl.constexpr,
):
    for first in tl.range(tl.program_id(0) * ROWS, rows, tl.num_programs(0) * ROWS):
        at = first + tl.arange(0, ROWS)
        mask = at < rows
        sums = tl.zeros((ROWS, COLUMNS), tl.float32)
        for begin in tl.static_range(0, WIDTH, COLUMNS):
            columns = begin + tl.arange(0, COLUMNS)
            there = columns < WIDTH
            x = tl.load(x_at + columns, there, 0.0).to(tl.float32)
            places = weight_at + at[:, None].to(tl.int64) * WIDTH + columns[None, :]
            weight = tl.load(places, mask[:, None] & there[None, :], 0.0).to(tl.float32)
            sums += weight * x[None, :]
        made = tl.sum(sums, 1) + tl.load(residual_at + at, mask, 0.0).to(tl.float32)
        if BIASED:
            made += tl.load(bias_at + at, mask, 0.0).to(tl.float32)
        tl.store(out_at + at, made, mask)


@triton.jit
def _rotated(
    x_at, cosines_at, sines_at, SIZE: tl.constexpr, HEAD: tl.constexpr, APART: tl.constexpr
):
    of_head = tl.arange(0, HEAD)
    turned = of_head < SIZE
    other = of_head ^ APART
    x = tl.load(x_at + of_head).to(tl.float32)
    beside = tl.load(x_at + other).to(tl.float32)
    cosine = tl.load(cosines_at + of_head, turned, 1.0).to(tl.float32)
    sine = tl.load(sines_at + of_head, turned, 0.0).to(tl.float32)
    return (x * cosine + beside * sine).to(x_at.dtype.element_ty).to(tl.float32)


@triton.jit
def one_query_attention(
    made_at,
    cosines_at,
    sines_at,
    position_at,
    keys_at,
    values_at,
    out_at,
    heads,
    capacity,
    scale,
    SHARED: tl.constexpr,
    SIZE: tl.constexpr,
    HEAD: tl.constexpr,
    APART: tl.constexpr,
    KEYS: tl.constexpr,
):
    head = tl.program_id(0)
    key_head = head // SHARED
    position = tl.load(position_at)
    of_head = tl.arange(0, HEAD)
    cosines_at += position * SIZE
    sines_at += position * SIZE
    key_at = made_at + (heads + key_head) * HEAD
    query = _rotated(made_at + head * HEAD, cosines_at, sines_at, SIZE, HEAD, APART)
    key = _rotated(key_at, cosines_at, sines_at, SIZE, HEAD, APART)
    value = tl.load(key_at + heads // SHARED * HEAD + of_head)
    keys_at += key_head * capacity * HEAD
    values_at += key_head * capacity * HEAD
    if head % SHARED == 0:
        tl.store(keys_at + position * HEAD + of_head, key)
        tl.store(values_at + position * HEAD + of_head, value)
    # The new position is the first that is attended to; what was just written is not read back.
    largest = tl.sum(query * key) * scale
    total = 1.0
    attended = value.to(tl.float32)
    for first in tl.range(0, position, KEYS):
        at = first + tl.arange(0, KEYS)
        before = at < position
        places = at[:, None] * HEAD + of_head[None, :]
        keys = tl.load(keys_at + places, before[:, None], 0.0).to(tl.float32)
        values = tl.load(values_at + places, before[:, None], 0.0).to(tl.float32)
        scores = tl.where(before, tl.sum(keys * query[None, :], 1) * scale, float("-inf"))
        now = tl.maximum(largest, tl.max(scores))
        shares = tl.exp(scores - now)
        kept = tl.exp(largest - now)
        total = total * kept + tl.sum(shares)
        attended = attended * kept + tl.sum(values * shares[:, None], 0)
        largest = now
    tl.store(out_at + head * HEAD + of_head, attended / total)
