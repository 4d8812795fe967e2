"""Imagination on a graphics card: fourteen launches a step for all behaviours together, and eight back through the dynamics of each.

What a step multiplies lies side by side in one row, in the type of products,

    | input layer x | memory h | one-hot state z | action a, scaled into the unit box | zeros |

so that each matrix reads neighbours: the actor h and z, the input layer z and a, the gates x and h. The actions of all steps are made once
more, at once and with gradient, so that the actor learns from one pass over all states instead of one a step.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F

from sensei.kernels import card as kernels
from sensei.world_model.networks import BatchedMLP
from sensei.world_model.rssm import RSSM, State

if TYPE_CHECKING:
    from sensei.agents.actor_critic import Actor


class Weights(NamedTuple):
    """The matrices of the dynamics in the type of products, those with a common input one below the other.

    Attributes:
        entering: [stoch * classes + actions, units], filled up with rows of zeros.
        gates, prior, output: as in `RSSM`; bias: that of the output.
    """

    entering: torch.Tensor
    gates: torch.Tensor
    prior: torch.Tensor
    output: torch.Tensor
    bias: torch.Tensor


class Layer(NamedTuple):
    """One layer of all actors: [actors, inputs, units]; weight and bias of its LayerNorm [actors, units], or the bias of the last one."""

    matrix: torch.Tensor
    weight: torch.Tensor | None
    bias: torch.Tensor


class Dream(NamedTuple):
    """What one actor dreamt, and what the way back needs of it; the first axis is time.

    Attributes:
        joint: h, z, a and zeros side by side, in the type of products [horizon + 1, rows, ...].
        deter: float32 [horizon + 1, rows, deter].
        action: float32 [horizon, rows, actions].
        probabilities: float32 [horizon, rows, stoch, classes], of the next state.
        entered, opened, seen: what LayerNorm is given in input layer, gates and prior [horizon, rows, ...].
    """

    joint: torch.Tensor
    deter: torch.Tensor
    action: torch.Tensor
    probabilities: torch.Tensor
    entered: torch.Tensor
    opened: torch.Tensor
    seen: torch.Tensor


def weights_of(rssm: RSSM, dtype: torch.dtype) -> Weights:
    """The matrices, converted once a rollout."""
    action = rssm.from_action.weight
    entering = torch.cat([rssm.from_stoch.weight, action, action.new_zeros(-len(action) % kernels.ALIGNED, rssm.size.units)])
    others = entering, rssm.gates.weight, rssm.prior_head[0][0].weight, rssm.prior_head[1].weight, rssm.prior_head[1].bias
    return Weights(*(weight.to(dtype) for weight in others))


def layers_of(heads: list[BatchedMLP], dtype: torch.dtype) -> list[Layer]:
    """The layers of several actors, each of one head; outputs are filled up to a number that suits products."""
    first = torch.stack([torch.cat([head.from_deter[:, 0], head.from_stoch[:, 0]]) for head in heads])
    hidden = [torch.stack([head.hidden[layer][0] for head in heads]) for layer in range(len(heads[0].hidden))]
    norms = zip(*(torch.stack([getattr(head, name)[:, 0, 0] for head in heads], 1) for name in ("norm_weight", "norm_bias")), strict=True)
    layers = [Layer(matrix.to(dtype), *norm) for matrix, norm in zip([first, *hidden], norms, strict=True)]
    more = -heads[0].outputs % kernels.ALIGNED
    matrix, bias = (torch.stack([part[0] for part in parts]) for parts in zip(*((h.output, h.output_bias) for h in heads), strict=True))
    return [*layers, Layer(F.pad(matrix, (0, more)).to(dtype), None, F.pad(bias, (0, more)).to(dtype))]


@torch.no_grad()
def follow(
    rssm: RSSM,
    actors: list["Actor"],
    starts: list[State],
    uniform: list[torch.Tensor],
    noise: list[torch.Tensor],
    stds: tuple[float, float],
) -> list[Dream]:
    """Follow each actor from its starts, all of them in step.

    Args:
        starts: of each actor deter [rows, ...] and index [rows, ...].
        uniform: of each float [horizon, rows, stoch], randomness of the states; noise: of the actions, as `Actor.noise` makes it.
        stds: smallest and largest standard deviation of a continuous action.
    """
    size, number, (horizon, rows, _), device = rssm.size, len(actors), uniform[0].shape, uniform[0].device
    dtype, discrete, actions = kernels.output_dtype(uniform[0]), actors[0].discrete, actors[0].actions
    uniform, noise = torch.stack(uniform, 1).flatten(1, 2), torch.stack(noise, 1).flatten(1, 2)
    weights, layers = weights_of(rssm, dtype), layers_of([actor.head for actor in actors], dtype)
    flat, every = size.stoch * size.classes, number * rows
    x, h = slice(0, size.units), slice(size.units, size.units + size.deter)
    z, a = slice(h.stop, h.stop + flat), slice(h.stop + flat, h.stop + flat + actions)

    def space(*shape: int, of: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(shape, dtype=of, device=device)

    side = torch.zeros(horizon + 1, every, z.start + len(weights.entering), dtype=dtype, device=device)
    apart = side.view(horizon + 1, number, rows, -1)
    deter, action, index = space(horizon + 1, every, size.deter), space(horizon, every, actions), space(every, size.stoch, of=torch.int64)
    probabilities, entered = space(horizon, every, size.stoch, size.classes), space(horizon, every, size.units, of=dtype)
    opened, seen = space(horizon, every, 3 * size.deter, of=dtype), space(horizon, every, size.units, of=dtype)
    before, after = space(number, rows, size.units, of=dtype), space(number, rows, size.units, of=dtype)
    output, logits = space(number, rows, layers[-1].bias.shape[-1], of=dtype), space(every, flat, of=dtype)
    chosen, shares = space(every, of=torch.int64), space(every, 1, actions)
    deter[0] = torch.cat([start.deter for start in starts])
    side[0, :, h] = deter[0]
    side[0, :, z] = kernels.one_hot(torch.cat([start.index for start in starts]), size.classes, dtype).flatten(1)
    norm, hidden_norm, hidden = rssm.input_norm, rssm.prior_head[0][1], after.view(every, -1)
    for t in range(horizon):
        given = apart[t, :, :, h.start : z.stop]
        for layer in layers[:-1]:
            torch.bmm(given, layer.matrix, out=before)
            kernels.launch_norm_silu(before, layer.weight, layer.bias, after)
            given = after
        torch.baddbmm(layers[-1].bias, given, layers[-1].matrix, out=output)
        wanted = output.view(every, -1)
        if discrete:
            kernels.launch_draw(wanted[:, :actions], noise[t].unsqueeze(1), chosen, shares, actors[0].uniform_mix, side[t, :, a])
        else:
            kernels.launch_act(wanted, noise[t], action[t], side[t, :, a], stds)
        torch.mm(side[t, :, z.start :], weights.entering, out=entered[t])
        kernels.launch_norm_silu(entered[t, None], norm.weight, norm.bias, side[t, None, :, x])
        torch.mm(side[t, :, : h.stop], weights.gates, out=opened[t])
        kernels.launch_recur(opened[t], rssm.gate_norm.weight, rssm.gate_norm.bias, deter[t], deter[t + 1], side[t + 1, :, h])
        torch.mm(side[t + 1, :, h], weights.prior, out=seen[t])
        kernels.launch_norm_silu(seen[t, None], hidden_norm.weight, hidden_norm.bias, hidden[None])
        torch.addmm(weights.bias, hidden, weights.output, out=logits)
        kernels.launch_draw(logits, uniform[t], index, probabilities[t], rssm.uniform_mix, side[t + 1, :, z])
    if discrete:
        action = side[:-1, :, a].float()
    parts = side[..., h.start :], deter, action, probabilities, entered, opened, seen
    return [Dream(*each) for each in zip(*(part.unflatten(1, (number, rows)).unbind(1) for part in parts), strict=True)]


def remembered(rssm: RSSM, actor: "Actor", dream: Dream, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A dream as (joint, features, actions), where actions are continuous with gradient to the actor; features are h and z of `joint`."""
    dream = dream._replace(joint=dream.joint.contiguous())
    features = dream.joint[..., : rssm.size.deter + rssm.size.stoch * rssm.size.classes]
    if actor.discrete:
        return dream.joint, features, dream.action
    states = features[:-1].flatten(0, 1)
    actions = actor.sample(states, states[:, :0], noise.flatten(0, 1)).view_as(dream.action)
    return _Backward.apply(actions, rssm, dream)


class _Backward(torch.autograd.Function):
    """What was dreamt, with its gradient to the actions."""

    @staticmethod
    def forward(ctx, actions: torch.Tensor, rssm: RSSM, dream: Dream):
        ctx.rssm = rssm
        ctx.save_for_backward(*dream)
        return dream.joint, dream.joint[..., : rssm.size.deter + rssm.size.stoch * rssm.size.classes], dream.action

    @staticmethod
    def backward(ctx, of_joint: torch.Tensor, of_features: torch.Tensor, of_action: torch.Tensor):
        rssm, dream = ctx.rssm, Dream(*ctx.saved_tensors)
        weights = weights_of(rssm, dream.seen.dtype)
        horizon, rows, actions = dream.action.shape
        flat, norm, hidden_norm = rssm.size.stoch * rssm.size.classes, rssm.input_norm, rssm.prior_head[0][1]
        of_states = of_features + of_joint[..., : of_features.shape[-1]]
        of_deter, of_stoch = of_states.split((rssm.size.deter, flat), -1)
        of_rows = dream.seen.new_empty(horizon, rows, len(weights.entering))
        of_logits, of_hidden, of_seen = dream.seen.new_empty(rows, flat), torch.empty_like(dream.seen[0]), torch.empty_like(dream.seen[0])
        of_opened, of_sides = torch.empty_like(dream.opened[0]), dream.seen.new_empty(rows, len(weights.gates))
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
            torch.mm(of_opened, weights.gates.t(), out=of_sides)
            arguments = dream.entered[t], norm.weight, norm.bias, of_sides, of_before, keep, of_entered, passed, carried
            kernels.launch_enter_back(*arguments)
            torch.mm(passed, weights.entering.t(), out=of_rows[t])
            later = of_rows[t, :, :flat]
        within = (of_rows[..., flat : flat + actions] + of_joint[:-1, :, of_states.shape[-1] :][..., :actions]).float()
        return within / dream.action.abs().clamp(min=1) + of_action, None, None
