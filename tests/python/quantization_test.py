"""Linear layers and experts in float8 and MXFP8: y, dx, dW and db bit for bit those of torchao, of its eager operators on a CPU.

torchao itself is asked where it is installed; where not, its arithmetic written down here, which was compared with it.

Usage: quantization_test.py QUANTIZED_PRODUCTS (tests/tools/quantized_products.cpp)
TITAN_QUANTIZATION_CASES: how many random cases (1,000).
"""

import dataclasses
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import torch

PROGRAM = sys.argv.pop(1)
CASES = int(os.environ.get("TITAN_QUANTIZATION_CASES", "1000"))
FLOAT8 = ("tensorwise", "rowwise", "rowwise_with_gw_hp")
MX = ("floor", "rceil")
GROUPED = ("grouped_float8", "grouped_mx")
LAYOUT = "scales_by_group"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
BLOCK = 32

try:
    import torchao  # noqa: F401

    HAVE_TORCHAO = True
except ImportError:
    HAVE_TORCHAO = False


# What torchao computes -----------------------------------------------------------------------------------------------


def float8(x, dtype, dim, power_of_two):
    largest = torch.finfo(dtype).max
    amax = x.abs().amax() if dim is None else x.abs().amax(dim=dim, keepdim=True)
    scale = (largest / amax.double().clamp(min=1e-12)).float()
    if power_of_two:
        scale = torch.exp2(torch.floor(torch.log2(scale)))
    return (x.float() * scale).clamp(-largest, largest).to(dtype), scale


def transposed(pair):
    return pair[0].t(), pair[1].t() if pair[1].dim() == 2 else pair[1]


def product(a, b, dtype):
    return torch.mm(a[0].float() / a[1], b[0].float() / b[1]).to(dtype)


def float8_results(recipe, x, weight, gradient):
    dtype, weight_t = x.dtype, weight.t()
    if recipe == "tensorwise":
        left, right = float8(x, E4M3, None, False), float8(weight_t, E4M3, None, False)
        dy = float8(gradient, E5M2, None, False)
        return product(left, right, dtype), product(dy, transposed(right), dtype), product(transposed(dy), left, dtype)
    y = product(float8(x, E4M3, -1, True), float8(weight_t, E4M3, 0, True), dtype)
    of_weight = None if recipe == "rowwise_with_gw_hp" else -1
    dx = product(float8(gradient, E4M3, -1, True), transposed(float8(weight_t, E4M3, of_weight, True)), dtype)
    if recipe == "rowwise_with_gw_hp":
        return y, dx, torch.mm(gradient.t(), x)
    return y, dx, product(transposed(float8(gradient, E4M3, 0, True)), float8(x, E4M3, 0, True), dtype)


def through_mx(x, mode):
    blocks = x.contiguous().reshape(*x.shape[:-1], -1, BLOCK)
    amax = blocks.abs().amax(-1, keepdim=True).float()
    if mode == "floor":
        exponent = ((amax.view(torch.int32) >> 23) & 255) - 127 - 8
        byte = torch.where(amax.isnan(), 255, exponent.clamp(-127, 128) + 127).to(torch.int32)
        scaled = blocks.float() / (byte << 23).view(torch.float32).clamp(min=2.0**-126)
    else:
        needed = amax / 448.0
        exponent = torch.ceil(torch.log2(needed)).clamp(-127, 127) + 127
        byte = torch.where(needed.isnan(), 255.0, exponent).nan_to_num(0).to(torch.int32)
        scaled = blocks.float() * torch.where(byte == 0, 1.0, torch.exp2(127 - byte.float()))
    values = scaled.clamp(-448.0, 448.0).to(E4M3)
    power = torch.pow(torch.tensor(2.0), (byte - 127).float())
    power = torch.where(byte == 255, float("nan"), power).to(x.dtype)
    return (values.to(x.dtype) * power).reshape(x.shape)


def mx_results(mode, x, weight, gradient):
    def of(left, right):  # left right^T
        return torch.mm(through_mx(left, mode), through_mx(right, mode).t())

    return of(x, weight), of(gradient, weight.t()), of(gradient.t(), x.t())


def blockwise(x, rows):
    """What is left of x, blocks of 128 columns and so many rows with a scale each."""
    result = torch.empty(x.shape)
    for i in range(0, x.shape[0], rows):
        for j in range(0, x.shape[1], 128):
            block = x[i : i + rows, j : j + 128]
            values, scale = float8(block, E4M3, None, False)
            result[i : i + rows, j : j + 128] = values.float() / scale
    return result


def blockwise_results(x, weight, gradient):
    w = blockwise(weight, 128)
    dw = torch.mm(blockwise(gradient.t(), 1), blockwise(x.t(), 1).t())
    return torch.mm(blockwise(x, 1), w.t()).to(x.dtype), torch.mm(blockwise(gradient, 1), w).to(x.dtype), dw.to(x.dtype)


def padded(rows):
    """Of one group: filled up to whole blocks of 32."""
    return torch.nn.functional.pad(rows, (0, 0, 0, -rows.shape[0] % BLOCK))


def grouped_results(recipe, x, weight, gradient, counts):
    y, dx, dw = torch.empty(gradient.shape, dtype=torch.bfloat16), torch.empty_like(x), torch.zeros_like(weight)
    begin = 0
    for w, count, of_weight in zip(weight, counts, dw):
        rows = slice(begin, begin + count)
        begin += count
        if count == 0:
            continue
        if recipe == "grouped_mx":
            y[rows] = torch.mm(through_mx(x[rows], "rceil").bfloat16(), through_mx(w, "rceil").bfloat16().t())
            dx[rows] = torch.mm(through_mx(gradient[rows], "rceil").bfloat16(), through_mx(w.t(), "rceil").bfloat16().t())
            left, right = (through_mx(padded(part[rows]).t(), "rceil").bfloat16()[:, :count] for part in (gradient, x))
            of_weight.copy_(torch.mm(left, right.t()))
        else:
            y[rows] = product(float8(x[rows], E4M3, -1, True), transposed(float8(w, E4M3, -1, True)), torch.bfloat16)
            dx[rows] = product(float8(gradient[rows], E4M3, -1, True), transposed(float8(w.t(), E4M3, -1, True)), torch.bfloat16)
            of_weight.copy_(product(transposed(float8(gradient[rows], E4M3, 0, True)), float8(x[rows], E4M3, 0, True), torch.bfloat16))
    return y, dx, dw


def written_down(recipe, x, weight, gradient, last):
    if recipe in GROUPED:
        return grouped_results(recipe, x, weight, gradient, last)
    if recipe == "blockwise":
        y, *others = blockwise_results(x, weight, gradient)
    elif recipe in MX:
        y, *others = mx_results(recipe, x, weight, gradient)
    else:
        y, *others = float8_results(recipe, x, weight, gradient)
    return y + last, *others, gradient.sum(0)


def of_torchao(recipe, x, weight, gradient, bias):
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    linear.weight, linear.bias = torch.nn.Parameter(weight.clone()), torch.nn.Parameter(bias.clone())
    x = x.clone().requires_grad_()
    if recipe in MX:
        from torchao.prototype.mx_formats.config import MXLinearConfig, ScaleCalculationMode
        from torchao.quantization import quantize_

        model = torch.nn.Sequential(linear)
        quantize_(model, MXLinearConfig(scale_calculation_mode=ScaleCalculationMode(recipe)))
        y, linear = model(x), model[0]
    else:
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training

        model = torch.nn.Sequential(linear)
        config = dataclasses.replace(Float8LinearConfig.from_recipe_name(recipe), emulate=True)
        convert_to_float8_training(model, config=config)
        y, linear = model(x), model[0]
    y.backward(gradient)
    return y.detach(), x.grad, linear.weight.grad, linear.bias.grad


def grouped_of_torchao(recipe, x, weight, gradient, counts):
    """Its emulation of MXFP8; of float8 it has none."""
    from torchao.prototype.moe_training.scaled_grouped_mm import _to_mxfp8_then_scaled_grouped_mm
    from torchao.prototype.mx_formats.config import ScaleCalculationMode
    from torchao.quantization.quantize_.common import KernelPreference

    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    offsets = torch.tensor(counts).cumsum(0).to(torch.int32)
    y = _to_mxfp8_then_scaled_grouped_mm(x, weight.transpose(-2, -1), offsets, BLOCK, torch.bfloat16, KernelPreference.EMULATED, False,
                                         ScaleCalculationMode.RCEIL)
    y.backward(gradient)
    return y.detach(), x.grad, weight.grad


def in_tiles(scales):
    """Of one matrix: 128 rows by 4 blocks each, filled up with zeros."""
    rows, blocks = scales.shape
    whole = torch.nn.functional.pad(scales, (0, -blocks % 4, 0, -rows % 128))
    return whole.view(-(-rows // 128), 4, 32, -(-blocks // 4), 4).permute(0, 3, 2, 1, 4).flatten()


def scales_written_down(rows, weights, by_column, ends):
    """Of rows in groups, of each group's matrix, and of columns in groups."""
    groups = list(zip([0, *ends[:-1]], ends))
    return (torch.cat([in_tiles(rows[begin:end]) for begin, end in groups]), torch.cat([in_tiles(of_one) for of_one in weights]),
            torch.cat([in_tiles(by_column[:, begin // BLOCK : end // BLOCK]) for begin, end in groups]))


def scales_of_torchao(rows, weights, by_column, ends):
    from torchao.prototype.moe_training.kernels.mxfp8 import quant

    ends = torch.tensor(ends)
    return (quant.torch_to_blocked_2d_M_groups(rows, ends)[0].flatten(), quant.torch_to_blocked_per_group_3d(weights).flatten(),
            quant.torch_to_blocked_2d_K_groups(by_column, ends // BLOCK)[0].flatten())


def exponents(x):
    needed = x.reshape(*x.shape[:-1], -1, BLOCK).abs().amax(-1).float() / 448.0
    return (torch.ceil(torch.log2(needed)).clamp(-127, 127) + 127).nan_to_num(0).to(torch.uint8)


# Cases ---------------------------------------------------------------------------------------------------------------


def matrix(rows, columns, dtype, spread, special, generator):
    x = torch.randn(rows, columns, generator=generator) * 2.0**spread
    for value in special:
        x[torch.randint(rows, (1,), generator=generator), torch.randint(columns, (1,), generator=generator)] = value
    return x.to(dtype)


def random_case(seed, recipes=FLOAT8 + MX, whole_blocks=False):
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    recipe = rng.choice(recipes)
    step = {"blockwise": 48}.get(recipe, BLOCK if recipe in MX + GROUPED else 16)
    m, k, n = (step * rng.randint(1, 5 if recipe == "blockwise" else 3) for _ in range(3))
    counts = None
    if recipe in GROUPED:  # some of no row
        counts = [rng.choice((0, 1, rng.randint(1, 100), BLOCK)) * (BLOCK if whole_blocks else 1) // (4 if whole_blocks else 1)
                  for _ in range(rng.randint(1, 5))]
        counts = [count // BLOCK * BLOCK for count in counts] if whole_blocks else counts
        counts[-1] = counts[-1] or BLOCK
        m = sum(counts)
    special = rng.choices(
        (0.0, -0.0, 1e-40, 1e-44, 448.0, 449.0, 464.0, 465.0, 57344.0, 3e38, 2.0**-118, 1 + 2.0**-7, 2 - 2.0**-7), k=rng.randint(0, 4))
    if rng.random() < 0.05:
        special.append(rng.choice((float("inf"), float("-inf"), float("nan"))))
    dtype = rng.choice(tuple(DTYPES))
    x, weight, dy = ((m, k), (n, k), (m, n))
    if counts:
        weight = (len(counts) * n, k)
    tensors = [matrix(*sizes, DTYPES[dtype], rng.choice((-30, -8, 0, 0, 0, 6)), special, generator) for sizes in (x, weight, dy)]
    if rng.random() < 0.1:
        rng.choice(tensors).zero_()
    if counts:
        return recipe, dtype, [tensors[0], tensors[1].view(len(counts), n, k), tensors[2].bfloat16(), counts]
    bias = matrix(1, n, DTYPES[dtype], rng.choice((-8, 0, 6)), special[:1], generator)[0]
    return recipe, dtype, [*tensors, bias if rng.random() < 0.5 else torch.zeros_like(bias)]


def raw(tensor):
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def ours(cases):
    with tempfile.TemporaryDirectory() as folder:
        source, results = Path(folder, "in"), Path(folder, "out")
        with source.open("wb") as file:
            for recipe, dtype, (x, weight, gradient, last) in cases:
                is_grouped = isinstance(last, list)
                numbers = [len(last), *last] if is_grouped else []
                file.write(" ".join(map(str, [recipe, dtype, *x.shape, weight.shape[-2], *numbers])).encode() + b"\n")
                file.write(raw(x) + raw(weight) + raw(gradient) + (b"" if is_grouped else raw(last)))
        subprocess.run([PROGRAM, source, results], check=True)
        data, place, answers = results.read_bytes(), 0, []
        for recipe, _, (x, weight, gradient, last) in cases:
            answer = []
            if recipe == LAYOUT:
                for _ in range(3):
                    size, = struct.unpack_from("<q", data, place)
                    answer.append(torch.frombuffer(bytearray(data[place + 8 : place + 8 + size]), dtype=torch.uint8))
                    place += 8 + size
                answers.append(answer)
                continue
            for like in (gradient, x, weight) if isinstance(last, list) else (gradient, x, weight, last):
                size = like.numel() * like.element_size()
                piece = bytearray(data[place : place + size])
                answer.append(torch.frombuffer(piece, dtype=like.dtype).reshape(like.shape))
                place += size
            answers.append(answer)
        assert place == len(data)
        return answers


class Quantization(unittest.TestCase):
    def compare(self, reference, cases):
        for case, answer in zip(cases, ours(cases)):
            recipe, dtype, tensors = case
            for name, got, expected in zip(("y", "dx", "dW", "db"), answer, reference(recipe, *tensors)):
                same = torch.equal(got.nan_to_num(7.0), expected.nan_to_num(7.0)) and torch.equal(got.isnan(), expected.isnan())
                self.assertTrue(same, f"{name} of {recipe} {dtype} {[tuple(getattr(t, 'shape', t)) for t in tensors]} differs: {got} {expected}")

    def test_products_have_the_bits_that_are_written_down(self):
        self.compare(written_down, [random_case(seed) for seed in range(CASES)])

    @unittest.skipUnless(HAVE_TORCHAO, "torchao is not installed")
    def test_products_have_the_bits_of_torchao(self):
        self.compare(of_torchao, [random_case(seed) for seed in range(CASES)])

    def test_blocks_have_the_bits_that_are_written_down(self):
        self.compare(written_down, [random_case(seed, ("blockwise",)) for seed in range(CASES // 20)])

    def test_grouped_products_have_the_bits_that_are_written_down(self):
        self.compare(written_down, [random_case(seed, GROUPED) for seed in range(CASES // 4)])

    @unittest.skipUnless(HAVE_TORCHAO, "torchao is not installed")
    def test_grouped_products_have_the_bits_of_torchao(self):
        self.compare(grouped_of_torchao, [random_case(seed, ("grouped_mx",), whole_blocks=True) for seed in range(CASES // 4)])

    def compare_scales(self, reference, multiple):
        """As a GPU's grouped products are given them; `multiple` of features."""
        cases = []
        for seed in range(max(CASES // 40, 1)):
            rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
            counts = [rng.choice((0, 1, 32, rng.randint(1, 300))) for _ in range(rng.randint(1, 6))]
            counts[-1] = counts[-1] or 1
            features = multiple * rng.randint(1, 3)
            x = matrix(sum(counts), features, torch.float32, rng.choice((-30, 0, 6)), (), generator)
            weights = torch.randn(len(counts), 32 * rng.randint(1, 6), features, generator=generator)
            cases.append((LAYOUT, "float32", [x, weights, torch.zeros(len(x), weights.shape[1], dtype=torch.bfloat16), counts]))
        for (_, _, (x, weights, _, counts)), answer in zip(cases, ours(cases)):
            groups = [padded(part) for part in x.split(counts)]
            rows = torch.cat(groups)
            ends = torch.tensor([len(group) for group in groups]).cumsum(0).tolist()
            for got, expected in zip(answer, reference(exponents(rows), exponents(weights), exponents(rows.t()), ends), strict=True):
                for longer, shorter in ((got, expected), (expected, got)):  # room for more is zeros
                    self.assertFalse(longer[len(shorter) :].any())
                size = min(len(got), len(expected))
                self.assertTrue(torch.equal(got[:size], expected[:size]), f"{counts} {tuple(weights.shape)}")

    def test_scales_of_groups_lie_as_is_written_down(self):
        self.compare_scales(scales_written_down, multiple=32)

    @unittest.skipUnless(HAVE_TORCHAO, "torchao is not installed")
    def test_scales_of_groups_lie_as_those_of_torchao(self):
        self.compare_scales(scales_of_torchao, multiple=128)  # it knows whole tiles of rows only

    def test_a_rounding_left_out_shows(self):
        recipe, dtype, (x, weight, gradient) = "tensorwise", "float32", [torch.randn(16, 16) for _ in range(3)]
        (y, *_), = ours([(recipe, dtype, (x, weight, gradient, torch.zeros(16)))])
        self.assertFalse(torch.equal(y, x @ weight.t()))
        self.assertLess((y - x @ weight.t()).abs().max(), 1.0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    unittest.main(verbosity=2)
