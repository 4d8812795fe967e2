"""Imagination on a graphics card: a rollout in some fourteen launches a step, and back through the dynamics in eight.

What a step multiplies lies side by side in one row, in the type of products,

    | input layer x | memory h | one-hot state z | action a, scaled into the unit box |

so that each matrix reads neighbours: the actor h and z, the input layer z and a, the gates x and h. The actions of all steps are made once
more, at once and with gradient, so that the actor learns from one pass over all states instead of one a step.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
import triton
import triton.language as tl

from sensei.world_model import triton_kernels as kernels
from sensei.world_model.networks import BatchedMLP
from sensei.world_model.rssm import RSSM, State

if TYPE_CHECKING:
    from sensei.agents.actor_critic import Actor


class Weights(NamedTuple):
    """The matrices of a rollout in the type of products, those with a common input one below the other."""

    actor: list[torch.Tensor]  # [deter + stoch * classes, units], then [units, units] a layer, at last [units, outputs]
    actor_bias: torch.Tensor
    entering: torch.Tensor  # [stoch * classes + actions, units]
    gates: torch.Tensor
    prior: torch.Tensor
    output: torch.Tensor
    bias: torch.Tensor


class Dream(NamedTuple):
    """A rollout and what the way back needs of it; the first axis is time.

    Attributes:
        features: memory and one-hot state side by side, in the type of products [horizon + 1, rows, deter + stoch * classes].
        deter: float32 [horizon + 1, rows, deter].
        action: float32 [horizon, rows, actions].
        probabilities: float32 [horizon, rows, stoch, classes], of the next state.
        entered, opened, seen: what LayerNorm is given in input layer, gates and prior [horizon, rows, ...].
    """

    features: torch.Tensor
    deter: torch.Tensor
    action: torch.Tensor
    probabilities: torch.Tensor
    entered: torch.Tensor
    opened: torch.Tensor
    seen: torch.Tensor


def weights_of(rssm: RSSM, head: BatchedMLP, dtype: torch.dtype, padding: int) -> Weights:
    """All matrices, converted once a rollout; `padding` rows of zeros follow those of the action."""
    first = torch.cat([head.from_deter[:, 0], head.from_stoch[:, 0]]).to(dtype)
    zeros = rssm.from_action.weight.new_zeros(padding, rssm.size.units)
    entering = torch.cat([rssm.from_stoch.weight, rssm.from_action.weight, zeros])
    prior, output = rssm.prior_head[0][0].weight, rssm.prior_head[1]
    others = entering, rssm.gates.weight, prior, output.weight, output.bias
    actor = [first, *(hidden[0].to(dtype) for hidden in head.hidden), head.output[0].to(dtype)]
    return Weights(actor, head.output_bias[0, 0].to(dtype), *(weight.to(dtype) for weight in others))


@triton.jit
def _act(output, noise, action, place, actions, stride, low, high, total, BLOCK: tl.constexpr):
    number = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column, inside = number // actions, number % actions, number < total
    mean = 2 * tl.sigmoid(2 * tl.load(output + row * 2 * actions + column, inside, 0).to(tl.float32)) - 1
    spread = tl.load(output + row * 2 * actions + actions + column, inside, 0).to(tl.float32)
    chosen = mean + ((high - low) * tl.sigmoid(spread + 2) + low) * tl.load(noise + number, inside, 0)
    tl.store(action + number, chosen, inside)
    tl.store(place + row * stride + column, chosen / tl.maximum(tl.abs(chosen), 1.0), inside)


@torch.no_grad()
def follow(rssm: RSSM, actor: "Actor", start: State, uniform: torch.Tensor, noise: torch.Tensor, stds: tuple[float, float]) -> tuple:
    """Follow the actor from every start.

    Args:
        start: deter [rows, ...] and index [rows, ...].
        uniform: float [horizon, rows, stoch], randomness of the states; noise: of the actions, as `Actor.noise` makes it.
        stds: smallest and largest standard deviation of a continuous action.

    Returns:
        The dream and the weights it was made with.
    """
    size, (horizon, rows, _), device = rssm.size, uniform.shape, uniform.device
    dtype, head = kernels.output_dtype(uniform), actor.head
    flat, padding = size.stoch * size.classes, -actor.actions % kernels.ALIGNED
    weights = weights_of(rssm, head, dtype, padding)
    x, h = slice(0, size.units), slice(size.units, size.units + size.deter)
    z, a = slice(h.stop, h.stop + flat), slice(h.stop + flat, h.stop + flat + actor.actions)

    def space(steps: int, *shape: int, of: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(steps, rows, *shape, dtype=of, device=device)

    side = torch.zeros(horizon + 1, rows, a.stop + padding, dtype=dtype, device=device)
    deter, action, index = space(horizon + 1, size.deter), space(horizon, actor.actions), space(1, size.stoch, of=torch.int64)[0]
    probabilities, entered = space(horizon, size.stoch, size.classes), space(horizon, size.units, of=dtype)
    opened, seen = space(horizon, 3 * size.deter, of=dtype), space(horizon, size.units, of=dtype)
    before, after = space(1, size.units, of=dtype), space(1, size.units, of=dtype)
    output, logits = space(1, len(weights.actor_bias), of=dtype)[0], space(1, flat, of=dtype)[0]
    chosen, shares = space(1, of=torch.int64)[0], space(1, actor.actions)[0]
    deter[0] = start.deter
    side[0, :, h], side[0, :, z] = start.deter, kernels.one_hot(start.index, size.classes, dtype).flatten(1)
    norm, hidden_norm = rssm.input_norm, rssm.prior_head[0][1]
    for t in range(horizon):
        given = side[t, :, h.start : z.stop]
        for layer, weight in enumerate(weights.actor[:-1]):
            torch.mm(given, weight, out=before[0])
            kernels.launch_norm_silu(before, head.norm_weight[layer, :, 0], head.norm_bias[layer, :, 0], after)
            given = after[0]
        torch.addmm(weights.actor_bias, given, weights.actor[-1], out=output)
        if actor.discrete:
            kernels.launch_draw(output, noise[t, :, None], chosen, shares, actor.uniform_mix, side[t, :, a])
        else:
            total = rows * actor.actions
            numbers = actor.actions, side.stride(1), *stds, total
            _act[(triton.cdiv(total, 1024),)](output, noise[t], action[t], side[t, :, a], *numbers, BLOCK=1024)
        torch.mm(side[t, :, z.start :], weights.entering, out=entered[t])
        kernels.launch_norm_silu(entered[t, None], norm.weight, norm.bias, side[t, None, :, x])
        torch.mm(side[t, :, : h.stop], weights.gates, out=opened[t])
        kernels.launch_recur(opened[t], rssm.gate_norm.weight, rssm.gate_norm.bias, deter[t], deter[t + 1], side[t + 1, :, h])
        torch.mm(side[t + 1, :, h], weights.prior, out=seen[t])
        kernels.launch_norm_silu(seen[t, None], hidden_norm.weight, hidden_norm.bias, after)
        torch.addmm(weights.bias, after[0], weights.output, out=logits)
        kernels.launch_draw(logits, uniform[t], index, probabilities[t], rssm.uniform_mix, side[t + 1, :, z])
    if actor.discrete:
        action = side[:-1, :, a].float()
    return Dream(side[:, :, h.start : z.stop], deter, action, probabilities, entered, opened, seen), weights


class Backward(torch.autograd.Function):
    """Features and actions of a dream, with their gradient to the actions."""

    @staticmethod
    def forward(ctx, actions: torch.Tensor, rssm: RSSM, dream: Dream, weights: Weights):
        ctx.rssm, ctx.weights = rssm, weights
        ctx.save_for_backward(*dream)
        return dream.features, dream.action

    @staticmethod
    def backward(ctx, of_features: torch.Tensor, of_action: torch.Tensor):
        rssm, weights, dream = ctx.rssm, ctx.weights, Dream(*ctx.saved_tensors)
        of_features, (horizon, rows, actions) = of_features.contiguous(), dream.action.shape
        of_deter, of_stoch = of_features.split((rssm.size.deter, len(weights.output[0])), -1)
        flat, norm, hidden_norm = of_stoch.shape[-1], rssm.input_norm, rssm.prior_head[0][1]
        of_rows = dream.seen.new_empty(horizon, rows, len(weights.entering))
        of_logits, of_hidden, of_seen = dream.seen.new_empty(rows, flat), torch.empty_like(dream.seen[0]), torch.empty_like(dream.seen[0])
        of_opened, of_joint = torch.empty_like(dream.opened[0]), dream.seen.new_empty(rows, len(weights.gates))
        of_memory, passed = dream.seen.new_empty(rows, rssm.size.deter), torch.empty_like(dream.entered[0])
        of_before, of_entered = torch.empty_like(dream.deter[0]), torch.empty_like(dream.entered[0], dtype=torch.float32)
        carried, later, keep = torch.zeros_like(of_before), torch.zeros_like(of_logits), torch.ones_like(of_before[:, 0])
        for t in reversed(range(horizon)):
            kernels.launch_draw_back(dream.probabilities[t], of_stoch[t + 1], of_logits, rssm.uniform_mix, later)
            torch.mm(of_logits, weights.output.t(), out=of_hidden)
            kernels.launch_norm_silu_back(dream.seen[t], hidden_norm.weight, hidden_norm.bias, of_hidden, of_seen)
            torch.mm(of_seen, weights.prior.t(), out=of_memory)
            state = dream.opened[t], rssm.gate_norm.weight, rssm.gate_norm.bias, dream.deter[t], of_deter[t + 1], of_opened, of_before
            kernels.launch_recur_back(*state, later=of_memory, carried=carried)
            torch.mm(of_opened, weights.gates.t(), out=of_joint)
            arguments = dream.entered[t], norm.weight, norm.bias, of_joint, of_before, keep, of_entered, passed, carried
            kernels.launch_enter_back(*arguments)
            torch.mm(passed, weights.entering.t(), out=of_rows[t])
            later = of_rows[t, :, :flat]
        return of_rows[..., flat : flat + actions].float() / dream.action.abs().clamp(min=1) + of_action, None, None, None
