"""Which operations ours computes faster on this machine: measured once, in at most two seconds, and kept beside the compiled library."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch

from sensei.core.errors import SenseiError
from sensei.core.files import read_json, write_json
from sensei.core.machine import processor
from sensei.kernels import choice, library
from sensei.kernels.categorical import draw, two_hot_loss, two_hot_mean
from sensei.kernels.choice import Decision
from sensei.kernels.convolutions import LAST, down, up
from sensei.kernels.norm import norm_silu
from sensei.kernels.pictures import picture_error
from sensei.kernels.products import gather_rows, product, products
from sensei.kernels.recurrence import gated, scan

SECONDS, ROUNDS = 2.0, 9  # at most, of all; at most, of each operation and way
WORTH = 0.98  # ours is taken where it needs less than this share of PyTorch's time: less is within the noise
LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")


class Case(NamedTuple):
    """An operation on tensors of a size that updates have.

    Attributes:
        compute: the operation.
        leaves: whose gradients it is asked for.
    """

    operation: str
    compute: Callable[[], Any]
    leaves: list[torch.Tensor]


def decide() -> Decision:
    """The decision in use in this process; if none has been taken, that of this machine, which is measured if it has not been yet."""
    if not choice.taken():
        choice.take(_decision(measured()))
    return choice.decision()


def measured(again: bool = False) -> dict[str, Any]:
    """What was measured on this machine with this version: of each operation milliseconds of ours and PyTorch's, and whether ours is taken.

    Args:
        again: measure it now, whether it has been or not.
    """
    everything, path = choice.everything(), _place()
    with library.alone():
        try:
            if not again:
                return read_json(path)
        except (OSError, SenseiError):
            pass  # not yet, or damaged
        result = {"processor": processor(), "torch": torch.__version__, "instructions": everything.instructions}
        write_json(path, result | {"operations": _measure(everything)})
    return read_json(path)


def _decision(found: dict[str, Any]) -> Decision:
    return Decision(found["instructions"], frozenset(name for name, way in found["operations"].items() if way["ours"]))


def _place() -> Path:
    """A file for each processor, version of what is compared, and limit; a cache may be shared by unlike machines."""
    sources = [path.read_bytes() for path in sorted(library.SOURCE.parent.glob("*.*")) if path.suffix in (".py", ".c")]
    limits = [os.environ.get(name) for name in LIMITS]
    key = repr((sources, processor(), torch.__version__, choice.everything().instructions, limits))
    return library.cache() / f"decision-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def _measure(everything: Decision) -> dict[str, dict[str, Any]]:
    threads, results, begin = torch.get_num_threads(), {}, time.perf_counter()
    torch.set_num_threads(1)
    try:
        with torch.enable_grad():
            chosen = [case for case in cases() if case.operation in everything.ours]
            for number, case in enumerate(chosen):
                left = SECONDS - (time.perf_counter() - begin)
                ours, pytorch = _fastest(case, everything, left / (len(chosen) - number))
                results[case.operation] = {"ours_ms": ours, "pytorch_ms": pytorch, "ours": ours < WORTH * pytorch}
    finally:
        torch.set_num_threads(threads)
    return results


def _fastest(case: Case, everything: Decision, seconds: float) -> tuple[float, float]:
    """Processor time of the fastest of some calls by ours and by PyTorch's operations, in turn."""
    # The parts that an operation of ours is made of stay ours.
    ways, times, begin = (everything, everything._replace(ours=everything.ours - {case.operation})), ([], []), time.perf_counter()
    for turn in range(ROUNDS):
        for way, measured in zip(ways, times, strict=True):
            with choice.taking(way):
                measured.append(_milliseconds(case))
        if turn and time.perf_counter() - begin > seconds:
            break
    ours, pytorch = (measured[1:] for measured in times)  # what libraries do once, they do the first time
    return min(ours), min(pytorch)


def _milliseconds(case: Case) -> float:
    begin = time.thread_time()
    result = case.compute()
    forward = time.thread_time() - begin
    if not case.leaves:
        return 1000 * forward
    gradient = torch.ones_like(result)
    begin = time.thread_time()
    torch.autograd.grad(result, case.leaves, gradient)
    return 1000 * (forward + time.thread_time() - begin)


def cases() -> Iterator[Case]:
    """Every operation on noise, in shapes of the presets XS and, where said wide, S."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).requires_grad_()

    def case(operation: str, function: Callable[..., Any], *leaves: torch.Tensor) -> Case:
        return Case(operation, lambda: function(*leaves), [leaf for leaf in leaves if leaf.requires_grad])

    for name, rows, width in (("narrow", 65536, 8), ("middle", 32768, 32), ("wide", 8192, 128)):
        yield case(f"norm_silu {name}", norm_silu, noise(rows, width), noise(width), noise(width))
    yield case("gated", gated, noise(1024, 384), noise(384), noise(384), noise(1024, 128))
    yield from (_scan(name, noise, *sizes) for name, *sizes in (("narrow", 8, 12, 128, 16, 8, 128), ("wide", 16, 2, 512, 32, 32, 512)))
    logits, bins = noise(4096, 16).detach(), noise(1024, 255)
    uniform, below = torch.rand(4096, generator=generator), torch.randint(254, (1024,), generator=generator)
    yield Case("draw", lambda: draw(logits, 0.01, uniform), [])
    yield Case("two_hot_mean", lambda: two_hot_mean(bins.detach(), torch.linspace(-20, 20, 255)), [])
    yield Case("two_hot_loss", lambda: two_hot_loss(bins, below.expand(2, -1), uniform[:2048].view(2, -1)), [bins])
    picture = noise(32, 3, 40, 40).detach().contiguous(memory_format=LAST)
    for channels in (8, 16):
        map = noise(32, channels, 20, 20).detach().contiguous(memory_format=LAST).requires_grad_()
        yield case(f"from_picture {channels}", down, picture, noise(channels, 3, 4, 4))
        yield case(f"to_picture {channels}", up, map, noise(channels, 3, 4, 4), noise(3))
    image = torch.randint(256, (128, 64, 64, 3), dtype=torch.uint8, generator=generator)
    yield case("picture_error", picture_error, noise(128, 64, 64, 3), image)
    for inputs, outputs in ((32, 3), (16, 8), (32, 16)):
        map = noise(32, inputs, 10, 10).detach().contiguous(memory_format=LAST).requires_grad_()
        yield case(f"transposed {outputs}", lambda x, weight: up(x, weight, None), map, noise(inputs, outputs, 4, 4))
    yield case("product small", product, noise(256, 128), noise(128, 128))
    yield case("product large", product, noise(1024, 256), noise(256, 384))
    yield case("products", products, noise(8, 1024, 128), noise(8, 128, 128), noise(8, 128))
    yield case("products odd", products, noise(1, 2048, 128), noise(1, 128, 255), noise(1, 255))
    base = noise(1024, 1024).detach()
    wide, classes = noise(128, 1024).detach(), torch.randint(8, (1024, 16), generator=generator)
    yield Case("gather", lambda: gather_rows(classes, wide, base), [])
    index = torch.randint(8, (1024, 16), generator=generator)
    yield case("gather_rows", gather_rows, index, noise(128, 128))


def _scan(name: str, noise: Callable[..., torch.Tensor], batch: int, time: int, deter: int, stoch: int, classes: int, units: int) -> Case:
    """The posterior scan with the plain steps of a recurrent model."""
    flat = stoch * classes

    def linear(inputs: int, outputs: int) -> SimpleNamespace:
        return SimpleNamespace(weight=(0.05 * noise(inputs, outputs)).detach().requires_grad_(), bias=noise(outputs))

    def norm(width: int) -> SimpleNamespace:
        return SimpleNamespace(weight=noise(width), bias=noise(width))

    cell = SimpleNamespace(size=SimpleNamespace(stoch=stoch, classes=classes), uniform_mix=0.01)
    cell.from_stoch, cell.gates, cell.from_deter = linear(flat, units), linear(units + deter, 3 * deter), linear(deter, units)
    cell.posterior_output, cell.input_norm, cell.gate_norm, cell.posterior_norm = linear(units, flat), *map(norm, (units, 3 * deter, units))

    def step(memory: torch.Tensor, projected: torch.Tensor) -> torch.Tensor:
        x = norm_silu(projected, cell.input_norm.weight, cell.input_norm.bias)
        return gated(product(torch.cat([x, memory], -1), cell.gates.weight), cell.gate_norm.weight, cell.gate_norm.bias, memory)

    def posterior_step(memory: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        x = product(memory, cell.from_deter.weight) + embedded
        x = norm_silu(x, cell.posterior_norm.weight, cell.posterior_norm.bias)
        logits = product(x, cell.posterior_output.weight, cell.posterior_output.bias).unflatten(-1, (stoch, classes))
        return torch.softmax(logits, -1) * (1 - cell.uniform_mix) + cell.uniform_mix / classes

    cell.step, cell.posterior_step = step, posterior_step
    cell.stoch_projection = lambda stoch: product(stoch, cell.from_stoch.weight)
    embedded, acted, start, projection = noise(batch, time, units), noise(batch, time, units), noise(deter), noise(units)
    uniform = noise(batch, time, stoch).detach().abs() % 1
    leaves = [embedded, acted, start, *(part.weight for part in (cell.from_stoch, cell.gates, cell.from_deter, cell.posterior_output))]

    def compute() -> torch.Tensor:
        memory, onehot, _, probabilities = scan(cell, embedded, acted, torch.ones(batch, time), uniform, start, projection)
        return memory.sum() + onehot.sum() + probabilities.sum()

    return Case(f"scan {name}", compute, leaves)
