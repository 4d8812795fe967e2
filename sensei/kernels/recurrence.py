"""The recurrence: the gates of its GRU, and the whole pass of the posterior over a batch."""

import ctypes
from typing import Any, Protocol

import torch
from torch import nn

from sensei.kernels.categorical import sample_index, straight_through
from sensei.kernels.choice import call, card, ours
from sensei.kernels.library import EPSILON, MOST_CLASSES, VECTOR, threads
from sensei.kernels.products import product

NARROW = 256  # width of the memory up to which its matrices stay in a cache


class Cell(Protocol):
    """What `scan` asks of a recurrent model: its widths, its parameters, and how it takes one step."""

    size: Any
    uniform_mix: float
    from_stoch: nn.Module
    input_norm: nn.Module
    gates: nn.Module
    gate_norm: nn.Module
    from_deter: nn.Module
    posterior_norm: nn.Module
    posterior_output: nn.Module

    def stoch_projection(self, stoch: torch.Tensor) -> torch.Tensor:
        """float [rows, stoch * classes], one-hot -> float [rows, units]."""

    def step(self, deter: torch.Tensor, projected: torch.Tensor) -> torch.Tensor:
        """float [rows, deter], [rows, units] -> [rows, deter]."""

    def posterior_step(self, deter: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        """float [rows, deter], [rows, units] -> [rows, stoch, classes]."""


def gated(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, deter: torch.Tensor) -> torch.Tensor:
    """The GRU's next memory from the joint projection of its gates, with LayerNorm and bias -1 on the update gate.

    Args:
        x: float [rows, 3 deter]: reset, candidate, update.
        weight, bias: float [3 deter], of the LayerNorm.
        deter: float [rows, deter], the memory before.

    Returns:
        float [rows, deter].
    """
    if triton := card(x, deter):
        return triton.recur(x, weight, bias, deter)
    if deter.shape[-1] % VECTOR or not ours("gated", x, weight, deter):
        reset, candidate, update = torch.nn.functional.layer_norm(x.float(), weight.shape, weight, bias, EPSILON).chunk(3, -1)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        return torch.lerp(deter, candidate, torch.sigmoid(update - 1))
    return _Gated.apply(x.contiguous(), weight, bias, deter.contiguous())


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, deter: torch.Tensor) -> torch.Tensor:
        following = torch.empty_like(deter)
        ctx.layout = (*deter.shape, threads(x.numel()))
        ctx.save_for_backward(x, weight, bias, deter)
        call("recur", x, weight, bias, deter, following, *ctx.layout)
        return following

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight, bias, deter = ctx.saved_tensors
        shared = ctx.layout[-1]
        of_x, of_deter, sums = torch.empty_like(x), torch.empty_like(deter), torch.zeros(shared, 2, len(weight))
        call("recur_back", x, weight, bias, deter, gradient.contiguous(), of_x, of_deter, sums, *ctx.layout)
        return of_x, *(sums[0] if shared == 1 else sums.sum(0)).unbind(0), of_deter


def scan(
    cell: Cell,
    embedded: torch.Tensor,
    acted: torch.Tensor,
    keep: torch.Tensor,
    uniform: torch.Tensor,
    start: torch.Tensor,
    start_projection: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Posterior states of a batch, step after step.

    Args:
        embedded, acted: float [batch, time, units], the shares of the hidden layers that are known before; acted is 0 where forgotten.
        keep: float [batch, time], 0 where state and action are forgotten.
        uniform: float [batch, time, stoch].
        start: float [deter], the memory after forgetting.
        start_projection: float [units], `stoch_projection` of the state that goes with it.

    Returns:
        memory [batch, time, deter], one-hot states with straight-through gradient [batch, time, stoch * classes], classes int64
        [batch, time, stoch], probabilities [batch, time, stoch, classes].
    """
    classes, norms = cell.size.classes, (cell.input_norm, cell.gate_norm, cell.posterior_norm)
    (inner, inner_bias), (gate, gate_bias), (hidden, hidden_bias) = ((norm.weight, norm.bias) for norm in norms)
    leaves = (
        *(embedded, acted, start, start_projection, cell.from_stoch.weight, inner, inner_bias, cell.gates.weight, gate, gate_bias),
        *(cell.from_deter.weight, hidden, hidden_bias, cell.posterior_output.weight, cell.posterior_output.bias),
    )
    if triton := card(uniform, *leaves):
        return triton.scan(classes, cell.uniform_mix, keep, uniform, *leaves)
    widths = embedded.shape[-1], len(start), uniform.shape[-1] * classes
    operation = f"scan {'narrow' if len(start) <= NARROW else 'wide'}"
    if any(width % VECTOR for width in widths) or classes > MOST_CLASSES or not ours(operation, uniform, *leaves):
        return _by_pytorch(cell, embedded, acted, keep.unsqueeze(-1), uniform, start, start_projection)
    turned = [part.transpose(0, 1).contiguous() for part in (keep, uniform, embedded, acted)]
    memory, onehot, index, probabilities = _Scan.apply(classes, cell.uniform_mix, *turned, *leaves[2:])
    return *(part.transpose(0, 1) for part in (memory, onehot, index)), probabilities.transpose(0, 1).unflatten(-1, (-1, classes))


def _by_pytorch(
    cell: Cell,
    embedded: torch.Tensor,
    acted: torch.Tensor,
    keep: torch.Tensor,
    uniform: torch.Tensor,
    start: torch.Tensor,
    start_projection: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    batch, time = keep.shape[:2]
    start, start_projection = start.unsqueeze(0), start_projection.unsqueeze(0)
    deter, projection = start.expand(batch, -1), start_projection
    steps = []
    acted, embedded, keep, uniform = (part.unbind(1) for part in (acted, embedded, keep, uniform))
    for t in range(time):
        if t:
            deter = torch.lerp(start, deter, keep[t])
            projection = torch.lerp(start_projection, cell.stoch_projection(steps[-1][1]), keep[t])
        deter = cell.step(deter, projection + acted[t])
        probabilities = cell.posterior_step(deter, embedded[t])
        index = sample_index(probabilities.detach(), uniform[t])
        steps.append((deter, straight_through(index, probabilities).flatten(1), index, probabilities))
    return tuple(torch.stack(part, 1) for part in zip(*steps, strict=True))


SCAN = (
    "time batch units deter stoch classes threads",
    "mix",
    (
        "embedded acted keep uniform start start_projection from_stoch input_weight input_bias gates gate_weight gate_bias from_deter "
        "hidden_weight hidden_bias output output_bias input joint opened memory seen hidden probabilities onehot index"
    ),
)
BACK = (
    "from_stoch gates from_deter output memory onehot probabilities "
    "of_logits of_seen of_opened of_input input_sums gate_sums hidden_sums start start_projection"
)


class _ScanArguments(ctypes.Structure):
    _fields_ = [
        (name, kind) for names, kind in zip(SCAN, (ctypes.c_long, ctypes.c_double, ctypes.c_void_p), strict=True) for name in names.split()
    ]


class _BackArguments(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in BACK.split()]


class _Scan(torch.autograd.Function):
    """Time runs along the first axis; gradients of the matrices are made after the loop, for all steps at once."""

    @staticmethod
    def forward(
        ctx, classes: int, mix: float, keep: torch.Tensor, uniform: torch.Tensor, embedded: torch.Tensor, acted: torch.Tensor, *weights
    ):
        time, batch, stoch = uniform.shape
        units, deter, flat = embedded.shape[-1], len(weights[0]), stoch * classes
        widths = units, units + deter, 3 * deter, deter, units, units, flat, flat
        made = [torch.empty(time, batch, width) for width in widths]
        made.append(torch.empty(time, batch, stoch, dtype=torch.int64))
        tensors = embedded, acted, keep, uniform, *(weight.contiguous() for weight in weights), *made
        ctx.numbers = time, batch, units, deter, stoch, classes, torch.get_num_threads(), mix
        call("scan", _ScanArguments(*ctx.numbers, *(tensor.data_ptr() for tensor in tensors)))
        ctx.save_for_backward(*tensors)
        ctx.mark_non_differentiable(made[8])
        return made[3], made[7], made[8], made[6]

    @staticmethod
    def backward(ctx, of_memory: torch.Tensor, of_onehot: torch.Tensor, _, of_probabilities: torch.Tensor):
        tensors = ctx.saved_tensors
        saved = dict(zip(SCAN[2].split(), tensors, strict=True))
        time, batch, units, deter, stoch, classes, *_ = ctx.numbers
        turned = [saved[name].t().contiguous() for name in ("from_stoch", "gates", "from_deter", "output")]
        incoming = [gradient.contiguous() for gradient in (of_memory, of_onehot, of_probabilities)]
        of_logits, of_seen, of_opened, of_input = (torch.empty(time, batch, width) for width in (stoch * classes, units, 3 * deter, units))
        sums = [torch.zeros(2, width) for width in (units, 3 * deter, units)]
        start, start_projection = torch.zeros(deter), torch.zeros(units)
        given = *turned, *incoming, of_logits, of_seen, of_opened, of_input, *sums, start, start_projection
        arguments = _ScanArguments(*ctx.numbers, *(tensor.data_ptr() for tensor in tensors))
        call("scan_back", arguments, _BackArguments(*(tensor.data_ptr() for tensor in given)))

        def of_matrix(inputs: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
            return product(inputs.flatten(0, 1).t(), gradient.flatten(0, 1))

        before = saved["onehot"][:-1] * saved["keep"][1:].unsqueeze(-1)
        matrices = {
            "from_stoch": of_matrix(before, of_input[1:]),
            "gates": of_matrix(saved["joint"], of_opened),
            "from_deter": of_matrix(saved["memory"], of_seen),
            "output": of_matrix(saved["hidden"], of_logits),
        }
        inner, gate, hidden = (part.unbind(0) for part in sums)
        of_weights = matrices["from_stoch"], *inner, matrices["gates"], *gate, matrices["from_deter"], *hidden
        of_output = matrices["output"], of_logits.sum((0, 1))
        return None, None, None, None, of_seen, of_input, start, start_projection, *of_weights, *of_output
