"""Which code computes an operation: ours, or PyTorch's own operations, which are the reference.

On a graphics card ours are the kernels in Triton (`card`), for there they were faster wherever it was measured. On a CPU a decision names
the instruction set of our kernels in C and the operations that ours computes. With one decision results are equal to the bit on one
machine, so it belongs to what a run is made from. Before one is taken (`measure.decide`, `use`) ours computes all it can.
"""

import contextlib
import ctypes
import functools
import logging
import threading
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import torch

from sensei.core.machine import COMPUTED_WITH
from sensei.kernels import library

IN_C = {
    *(
        "norm_silu narrow",
        "norm_silu middle",
        "norm_silu wide",
        "gated",
        "scan narrow",
        "scan wide",
        "draw",
        "two_hot_mean",
        "two_hot_loss",
    ),
    *("from_picture 8", "from_picture 16", "to_picture 8", "to_picture 16", "picture_error", "gather"),
}
# Ways of ours that are made of other operations of PyTorch's.
BY_PYTORCH = {"transposed 3", "transposed 8", "transposed 16", "product small", "product large", "products", "products odd", "gather_rows"}
OPERATIONS = frozenset(IN_C | BY_PYTORCH)
ON_CARD = torch.float32, torch.bfloat16  # what the kernels in Triton take
log = logging.getLogger("sensei.kernels")


class Decision(NamedTuple):
    """What computes what.

    Attributes:
        instructions: a key of `library.INSTRUCTIONS`; None where no kernels in C are to be used.
        ours: operations that ours computes; PyTorch's own the others.
    """

    instructions: str | None
    ours: frozenset[str]

    def as_json(self) -> dict[str, Any]:
        """Plain values, for manifests and checkpoints."""
        return {"instructions": self.instructions, "ours": sorted(self.ours)}


class _Only(threading.local):
    def __init__(self):
        self.pytorch = False  # whether the thread is to use PyTorch's own operations only
        self.frozen = False  # whether the thread wants no gradients of parameters


_only, _taken = _Only(), []  # the decision in use, if one has been taken


def decision() -> Decision:
    """The one in use."""
    return _taken[0] if _taken else everything()


@functools.cache
def everything() -> Decision:
    """Ours wherever it can be had on this machine."""
    best = library.available()[0]
    return Decision(best, OPERATIONS) if library.load(best) else Decision(None, frozenset(BY_PYTORCH))


def taken() -> bool:
    """Whether one has been taken in this process."""
    return bool(_taken)


def take(chosen: Decision) -> None:
    """Use a decision from now on, in the whole process; manifests of what it writes name it."""
    _taken[:] = [chosen]
    COMPUTED_WITH["kernels"] = chosen.as_json()


def forget() -> None:
    """As before any has been taken."""
    _taken.clear()


def use(recorded: dict[str, Any]) -> None:
    """Take the decision that a run began with (`Decision.as_json`), and say in the log what this machine cannot do as recorded."""
    instructions, ours = recorded["instructions"], frozenset(recorded["ours"]) & OPERATIONS
    if instructions is not None and (instructions not in library.available() or library.load(instructions) is None):
        here = everything()
        log.warning(
            "this run computed with %s, which this machine has not: it goes on with %s, and its results may differ by rounding",
            instructions,
            here.instructions or "PyTorch's own operations",
        )
        instructions, ours = here.instructions, ours & here.ours
    if lost := set(recorded["ours"]) - OPERATIONS:
        log.warning("this version has no kernels for %s: results may differ by rounding", ", ".join(sorted(lost)))
    take(Decision(instructions, ours))


def ours(operation: str, *tensors: torch.Tensor) -> bool:
    """Whether ours computes this operation on these tensors: float32 on a CPU, neither compiled by torch nor under autocast."""
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") or _only.pytorch or operation not in decision().ours:
        return False
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


def card(*tensors: torch.Tensor) -> ModuleType | None:
    """The kernels in Triton where they compute on these tensors: floating point on CUDA, not compiled by torch; else None."""
    if torch.compiler.is_compiling() or _only.pytorch or not all(fits_card(tensor) for tensor in tensors):
        return None
    return in_triton()


def fits_card(tensor: torch.Tensor) -> bool:
    """Whether the kernels in Triton take it."""
    return tensor.is_cuda and tensor.dtype in ON_CARD


@functools.cache
def in_triton() -> ModuleType | None:
    """`sensei.kernels.card`; None where Triton does not work, which is logged once. Manifests of what is computed name which it was."""
    try:
        import triton

        from sensei.kernels import card as kernels

        kernels.one_hot(torch.zeros(1, dtype=torch.int64, device="cuda"), 2)  # needs a C compiler too
    except Exception as error:  # Triton and what it calls have errors of their own
        log.warning("updates on the card use PyTorch's own operations, several times as slow: Triton does not work: %s", str(error)[-500:])
        COMPUTED_WITH["card"] = "PyTorch's operations"
        return None
    COMPUTED_WITH["card"] = f"Triton {triton.__version__}"
    return kernels


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    """What is computed in this thread leads gradients to its inputs, but nobody wants those of parameters: kernels need not make them."""
    before, _only.frozen = _only.frozen, True
    try:
        yield
    finally:
        _only.frozen = before


def is_frozen() -> bool:
    """Whether the block of `frozen` is under way in this thread."""
    return _only.frozen


@contextlib.contextmanager
def pytorch_only() -> Iterator[None]:
    """Use PyTorch's own operations only, in this thread: `compile: off`, the reference of tests, what its counter of arithmetic knows."""
    before, _only.pytorch = _only.pytorch, True
    try:
        yield
    finally:
        _only.pytorch = before


@contextlib.contextmanager
def taking(chosen: Decision) -> Iterator[None]:
    """Use a decision in a block only."""
    before = list(_taken)
    take(chosen)
    try:
        yield
    finally:
        _taken[:] = before


def call(name: str, *arguments: torch.Tensor | int | float | ctypes.Structure | None) -> None:
    """Call a kernel in C: tensors (or None) and structures are its pointers, int its long, float its double."""
    getattr(library.load(decision().instructions), name)(*_arguments(arguments))


def _arguments(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield ctypes.c_void_p(value.data_ptr())
        elif isinstance(value, ctypes.Structure):
            yield ctypes.byref(value)
        else:
            yield value if value is None else (ctypes.c_long if isinstance(value, int) else ctypes.c_double)(value)
