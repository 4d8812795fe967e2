"""The posterior scan, gradient included: seven launches a step, and eight going back."""

import torch
import triton
import triton.language as tl

from sensei.kernels.card.draws import launch_draw, launch_draw_back, one_hot
from sensei.kernels.card.gates import launch_recur, launch_recur_back
from sensei.kernels.card.norm import launch_norm_silu, launch_norm_silu_back, normalise
from sensei.kernels.card.tiles import output_dtype, width_of


@triton.jit
def _enter(
    index,
    keep,
    acted,
    memory,
    start,
    start_projection,
    from_stoch,
    weight,
    bias,
    sums,
    joint,
    before,
    stoch,
    classes,
    units,
    deter,
    FIRST: tl.constexpr,
    STOCH: tl.constexpr,
    UNITS: tl.constexpr,
    DETER: tl.constexpr,
):
    """One row of a step: rows of `from_stoch` gathered, forgotten where an episode begins, action added, LayerNorm, SiLU."""
    row, column, place = tl.program_id(0), tl.arange(0, UNITS), tl.arange(0, DETER)
    there, within = column < units, place < deter
    total = tl.load(start_projection + column, there, 0)
    state = tl.load(start + place, within, 0)
    if not FIRST:
        kept = tl.load(keep + row)
        gathered = tl.zeros([UNITS], tl.float32)
        for first in range(0, stoch, STOCH):
            variable = first + tl.arange(0, STOCH)
            chosen = variable * classes + tl.load(index + row * stoch + variable, variable < stoch, 0).to(tl.int32)
            inside = (variable < stoch)[:, None] & there[None, :]
            gathered += tl.sum(tl.load(from_stoch + chosen[:, None] * units + column[None, :], inside, 0), 0)
        total += kept * (gathered - total)
        state += kept * (tl.load(memory + row * deter + place, within, 0) - state)
    total += tl.load(acted + row * units + column, there, 0)
    tl.store(sums + row * units + column, total, there)
    normal, _ = normalise(total[None, :], there[None, :], units)
    opened = normal * tl.load(weight + column, there, 0)[None, :] + tl.load(bias + column, there, 0)[None, :]
    width = units + deter
    tl.store(joint + row * width + column[None, :], opened * tl.sigmoid(opened), there[None, :])
    tl.store(joint + row * width + units + place, state, within)
    tl.store(before + row * deter + place, state, within)


@triton.jit
def _enter_back(
    sums,
    weight,
    bias,
    of_joint,
    of_before,
    keep,
    of_sums,
    passed,
    carried,
    of_norm,
    units,
    deter,
    SUMS: tl.constexpr,
    FIRST: tl.constexpr,
    UNITS: tl.constexpr,
    DETER: tl.constexpr,
):
    """Back through `_enter` as far as the matrices; `of_before` becomes the whole gradient of the memory that entered."""
    row, column, place = tl.program_id(0), tl.arange(0, UNITS), tl.arange(0, DETER)
    there, within, width = column < units, place < deter, units + deter
    normal, factor = normalise(tl.load(sums + row * units + column, there, 0).to(tl.float32)[None, :], there[None, :], units)
    scale, shift = tl.load(weight + column, there, 0)[None, :], tl.load(bias + column, there, 0)[None, :]
    opened = normal * scale + shift
    gate = tl.sigmoid(opened)
    gradient = tl.load(of_joint + row * width + column, there, 0).to(tl.float32)[None, :] * gate * (1 + opened * (1 - gate))
    if SUMS:
        norm = of_norm + row * 2 * units + column
        tl.store(norm, tl.load(norm, there, 0) + tl.sum(gradient * normal, 0), there)
        tl.store(norm + units, tl.load(norm + units, there, 0) + tl.sum(gradient, 0), there)
    inner = gradient * scale
    mean, along = (tl.sum(inner, 1) / units)[:, None], (tl.sum(inner * normal, 1) / units)[:, None]
    of_total = tl.sum(factor * (inner - mean - normal * along), 0)
    tl.store(of_sums + row * units + column, of_total, there)
    of_state = tl.load(of_before + row * deter + place, within, 0)
    of_state += tl.load(of_joint + row * width + units + place, within, 0).to(tl.float32)
    tl.store(of_before + row * deter + place, of_state, within)
    if not FIRST:
        kept = tl.load(keep + row)
        tl.store(passed + row * units + column, kept * of_total, there)
        tl.store(carried + row * deter + place, kept * of_state, within)


def launch_enter_back(
    entered: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    of_joint: torch.Tensor,
    of_before: torch.Tensor,
    keep: torch.Tensor,
    of_entered: torch.Tensor,
    passed: torch.Tensor,
    carried: torch.Tensor,
    sums: torch.Tensor | None = None,
    first: bool = False,
) -> None:
    """Back from x and h side by side [rows, units + deter] to what LayerNorm was given, float32 into `of_entered` [rows, units].

    What goes on to the step before, nothing where `keep` [rows] is 0, goes into `passed` [rows, units] and `carried` [rows, deter].
    """
    (rows, units), deter = entered.shape, of_before.shape[-1]
    pointers = entered, weight, bias, of_joint, of_before, keep, of_entered, passed, carried, carried if sums is None else sums
    options = {"SUMS": sums is not None, "FIRST": first, "UNITS": width_of(units), "DETER": width_of(deter)}
    _enter_back[(rows,)](*pointers, units, deter, **options)


def scan(classes: int, uniform_mix: float, keep: torch.Tensor, uniform: torch.Tensor, *leaves: torch.Tensor):
    """The posterior scan of `RSSM.observe`, gradient included; `leaves` and results as in `recurrence.scan`.

    Matrix products are in autocast's type, everything else in float32.
    """
    embedded, acted, *weights = leaves
    dtype = output_dtype(embedded)
    turned = keep.t().clone(memory_format=torch.contiguous_format), uniform.transpose(0, 1).contiguous()
    turned[0][0].zero_()
    turned += embedded.transpose(0, 1).to(dtype).contiguous(), acted.transpose(0, 1).float().contiguous()
    memory, onehot, index, probabilities = _Scan.apply(classes, uniform_mix, dtype, *turned, *weights)
    return *(part.transpose(0, 1) for part in (memory, onehot, index)), probabilities.transpose(0, 1).unflatten(-1, (-1, classes))


class _Scan(torch.autograd.Function):
    """Time runs along the first axis; gradients of the matrices are made after the loop, for all steps at once."""

    @staticmethod
    def forward(ctx, classes: int, mix: float, dtype: torch.dtype, keep, uniform, embedded, acted, start, start_projection, *weights):
        from_stoch, input_weight, input_bias, gates, gate_weight, gate_bias, from_deter, hidden_weight, hidden_bias, output, bias = weights
        (time, batch, stoch), units, deter, flat = uniform.shape, embedded.shape[-1], len(start), output.shape[1]
        gates, from_deter, output, bias = (weight.to(dtype) for weight in (gates, from_deter, output, bias))

        def space(*shape: int, of: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.empty(time, batch, *shape, dtype=of, device=keep.device)

        sums, before, memory, probabilities = space(units), space(deter), space(deter), space(flat)
        joint, opened, copy = space(units + deter, of=dtype), space(3 * deter, of=dtype), space(deter, of=dtype)
        seen, hidden, logits = space(units, of=dtype), space(units, of=dtype), space(flat, of=dtype)[0]
        index = space(stoch, of=torch.int64)
        options = {"STOCH": min(32, width_of(stoch)), "UNITS": width_of(units), "DETER": width_of(deter), "num_warps": 8}
        for t in range(time):
            given = index[t - 1], keep[t], acted[t], memory[t - 1], start, start_projection, from_stoch, input_weight, input_bias
            made = sums[t], joint[t], before[t], stoch, classes, units, deter
            _enter[(batch,)](*given, *made, FIRST=t == 0, **options)
            torch.mm(joint[t], gates, out=opened[t])
            launch_recur(opened[t], gate_weight, gate_bias, before[t], memory[t], copy[t])
            torch.addmm(embedded[t], copy[t], from_deter, out=seen[t])
            launch_norm_silu(seen[t][None], hidden_weight, hidden_bias, hidden[t][None])
            torch.addmm(bias, hidden[t], output, out=logits)
            launch_draw(logits, uniform[t], index[t], probabilities[t].view(batch, stoch, classes), mix)
        onehot = one_hot(index, classes).flatten(-2)
        ctx.numbers = classes, mix, dtype, stoch
        norms = input_weight, input_bias, gate_weight, gate_bias, hidden_weight, hidden_bias
        kept = keep, from_stoch, *norms, gates, from_deter, output
        ctx.save_for_backward(*kept, sums, before, joint, opened, copy, seen, hidden, probabilities, index)
        ctx.mark_non_differentiable(index)
        return memory, onehot, index, probabilities

    @staticmethod
    def backward(ctx, of_memory: torch.Tensor, of_onehot: torch.Tensor, _, of_probabilities: torch.Tensor):
        classes, mix, dtype, stoch = ctx.numbers
        keep, from_stoch, input_weight, input_bias, gate_weight, gate_bias, hidden_weight, hidden_bias, *rest = ctx.saved_tensors
        gates, from_deter, output, sums, before, joint, opened, copy, seen, hidden, probabilities, index = rest
        (time, batch, units), deter = sums.shape, before.shape[-1]
        of_memory, of_onehot, of_probabilities = (part.contiguous() for part in (of_memory, of_onehot, of_probabilities))
        turned = from_stoch.to(dtype).t()
        of_sums, of_before, passed = torch.empty_like(sums), torch.empty_like(before), torch.empty_like(seen)
        of_opened, of_seen, of_logits = torch.empty_like(opened), torch.empty_like(seen), torch.empty_like(probabilities, dtype=dtype)
        later, of_hidden = torch.zeros_like(of_logits[0]), torch.empty_like(seen[0])
        of_copy, of_joint = torch.empty_like(copy[0]), torch.empty_like(joint[0])
        carried = torch.zeros_like(before[0])
        input_sums, gate_sums, hidden_sums = (torch.zeros(batch, 2, width, device=keep.device) for width in (units, 3 * deter, units))
        for t in reversed(range(time)):
            drawn = probabilities[t].view(batch, stoch, classes)
            launch_draw_back(drawn, of_probabilities[t], of_logits[t], mix, later, of_onehot[t])
            torch.mm(of_logits[t], output.t(), out=of_hidden)
            launch_norm_silu_back(seen[t], hidden_weight, hidden_bias, of_hidden, of_seen[t], hidden_sums)
            torch.mm(of_seen[t], from_deter.t(), out=of_copy)
            arguments = opened[t], gate_weight, gate_bias, before[t], of_memory[t], of_opened[t], of_before[t], gate_sums, of_copy, carried
            launch_recur_back(*arguments)
            torch.mm(of_opened[t], gates.t(), out=of_joint)
            arguments = sums[t], input_weight, input_bias, of_joint, of_before[t], keep[t], of_sums[t], passed[t], carried, input_sums
            launch_enter_back(*arguments, first=t == 0)
            if t:
                torch.mm(passed[t], turned, out=later)

        def of_matrix(inputs: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
            return torch.mm(inputs.flatten(0, 1).t(), gradient.flatten(0, 1)).float()

        forgotten = (1 - keep).unsqueeze(-1)
        input_norm, gate_norm, hidden_norm = (part.sum(0).unbind(0) for part in (input_sums, gate_sums, hidden_sums))
        of_weights = (
            (forgotten * of_before).sum((0, 1)),
            (forgotten * of_sums).sum((0, 1)),
            of_matrix(one_hot(index[:-1], classes, dtype).flatten(-2), passed[1:]),
            *(*input_norm, of_matrix(joint, of_opened)),
            *(*gate_norm, of_matrix(copy, of_seen)),
            *(*hidden_norm, of_matrix(hidden, of_logits)),
            of_logits.sum((0, 1), dtype=torch.float32),
        )
        return None, None, None, None, None, of_seen, of_sums, *of_weights
