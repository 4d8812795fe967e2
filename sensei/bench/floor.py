"""The floor of an update: the arithmetic that it cannot do without, at the best rates this machine reaches on such shapes."""

import time
from collections.abc import Callable
from typing import Any


def peaks(size: str, rows: int, device: str, threads: int, precision: str = "float32") -> dict[str, float]:
    """Best measured GFLOP/s: of matrix products, large and as wide as the preset's heads, and of the preset's convolutions.

    Args:
        size: network preset.
        rows: states of a batch.
        precision: float32 or bfloat16.
    """
    import torch
    import torch.nn.functional as F

    from sensei.kernels.products import product as matrix_product
    from sensei.world_model.sizes import SIZES

    torch.set_num_threads(threads)
    preset, type_ = SIZES[size], getattr(torch, precision)

    def product(m: int, k: int, n: int) -> float:
        left, right = torch.randn(m, k, device=device, dtype=type_), torch.randn(k, n, device=device, dtype=type_)
        return 2e-9 * m * k * n / _best(lambda: matrix_product(left, right), device)

    def convolution(side: int, inputs: int, outputs: int) -> float:
        picture = torch.randn(min(rows, 256), inputs, side, side, device=device, dtype=type_).to(memory_format=torch.channels_last)
        weight = torch.randn(outputs, inputs, 4, 4, device=device, dtype=type_).to(memory_format=torch.channels_last)
        flops = 2e-9 * len(picture) * inputs * outputs * 16 * (side // 2) ** 2
        return flops / _best(lambda: F.conv2d(picture, weight, None, 2, 1), device)

    with torch.no_grad():
        stages = [(32, preset.depth), (16, 2 * preset.depth), (8, 4 * preset.depth)]
        return {
            "matrix_gflops": max(product(2048, 2048, 2048), product(8 * rows, preset.units, preset.units)),
            "convolution_gflops": max(convolution(side, depth, 2 * depth) for side, depth in stages),
        }


def _best(function: Callable[[], Any], device: str) -> float:
    """Seconds of the fastest of some calls; on a card of some rows of calls, for launching one takes longer than many a product."""
    import torch

    seconds, calls = [], 50 if device == "cuda" else 1
    for _ in range(8):
        begin = time.perf_counter()
        for _ in range(calls):
            function()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append((time.perf_counter() - begin) / calls)
    return min(seconds)


def floor(work: dict[str, Any], measured: dict[str, float]) -> dict[str, float]:
    """Milliseconds that the products and convolutions of one of our updates take at the measured peaks, and how many GFLOP they are.

    Counted while an update runs, eagerly: what is gathered instead of multiplied is not in it.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from sensei.bench.workload import ours
    from sensei.kernels.choice import pytorch_only

    _, step = ours(work | {"compile": "off"})
    with pytorch_only(), FlopCounterMode(display=False) as counter:
        step()
    counts = counter.get_flop_counts().get("Global", {})
    convolutions = sum(count for operation, count in counts.items() if "conv" in str(operation)) / 1e9
    products = counter.get_total_flops() / 1e9 - convolutions
    seconds = products / measured["matrix_gflops"] + convolutions / measured["convolution_gflops"]
    del step
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return {"milliseconds": 1000 * seconds, "gflops": products + convolutions, "convolution_gflops": convolutions}
