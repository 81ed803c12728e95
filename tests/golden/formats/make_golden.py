#!/usr/bin/env python3
"""Makes blocks.bin of this directory: for each block format random blocks and the values that the
gguf package says they hold, and values with the blocks that ggml makes of them.

    python3 make_golden.py LIBGGML_BASE

Needs the packages gguf and numpy, and libggml-base.so of a llama.cpp built without fused
multiply-add (-ffp-contract=off), since a last bit can decide between two equally good blocks.

The file is a list of records: name (8 bytes), number of values n and bytes of blocks b (uint32),
then kind "unpack": b bytes of blocks, n f32; kind "pack": n f32, b bytes of blocks. The kind is the
first letter after the name's terminating zero.
"""
import ctypes
import pathlib
import struct
import sys

import numpy
from gguf import GGMLQuantizationType as Type, quants, constants

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
SCALES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82],
          "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


def random_blocks(generator, name, block_bytes, count):
    """Random bytes, with finite scales of either sign, subnormal and zero ones among them."""
    blocks = generator.integers(0, 256, (count, block_bytes), dtype=numpy.uint8)
    for at in SCALES[name]:
        scales = (generator.standard_normal(count) * 0.1).astype(numpy.float16)
        scales[0], scales[1] = numpy.float16(6e-8), 0
        blocks[:, at:at + 2] = scales.view(numpy.uint8).reshape(count, 2)
    return blocks


def sample(generator, count):
    """Rows that weights resemble, and some that they do not."""
    gauss = generator.standard_normal(count) * 0.02
    laplace = generator.laplace(size=count) * 0.02
    outliers = generator.standard_normal(count) * 0.02
    outliers[generator.integers(0, count, count // 100)] *= 30
    shifted = generator.standard_normal(count) * 0.02 + 0.05
    sparse = generator.standard_normal(count) * (generator.random(count) < 0.2)
    sparse[:256] = 0
    return numpy.stack([gauss, laplace, outliers, shifted, sparse]).astype(numpy.float32)


def record(out, name, kind, values, blocks):
    out.write(name.encode().ljust(7, b"\0") + kind[:1].encode())
    values = numpy.ascontiguousarray(values, dtype=numpy.float32).tobytes()
    out.write(struct.pack("<II", len(values) // 4, len(blocks)))
    for part in (blocks, values) if kind == "unpack" else (values, blocks):
        out.write(part)


def pack(library, name, values):
    block, size = constants.GGML_QUANT_SIZES[Type[name]]
    out = ctypes.create_string_buffer(values.size // block * size)
    function = getattr(library, f"quantize_row_{name.lower().replace('_k', '_K')}_ref")
    function(values.ctypes.data_as(ctypes.c_void_p), out, ctypes.c_int64(values.size))
    return out.raw


def main():
    library = ctypes.CDLL(sys.argv[1])
    generator = numpy.random.default_rng(4)
    values = sample(generator, 512)
    with open(HERE / "blocks.bin", "wb") as out:
        for name in NAMES:
            block, size = constants.GGML_QUANT_SIZES[Type[name]]
            blocks = random_blocks(generator, name, size, 1024 // block)
            record(out, name, "unpack", quants.dequantize(blocks, Type[name]), blocks.tobytes())
            record(out, name, "pack", values, pack(library, name, values))


main()
