"""Recurrent state-space model (paper Eqs. 1-3): memory h, categorical stochastic state z, posterior and prior."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from sensei.kernels.categorical import draw, mixed, sample_index
from sensei.kernels.library import EPSILON
from sensei.kernels.products import gather_rows
from sensei.kernels.recurrence import gated, scan
from sensei.world_model.networks import Linear, NormSiLU, dense
from sensei.world_model.sizes import Size


class State(NamedTuple):
    """Model state of a set of rows.

    Attributes:
        deter: float [..., deter], the memory h.
        index: int64 [..., stoch], the class of each variable of z.
    """

    deter: torch.Tensor
    index: torch.Tensor


class Observed(NamedTuple):
    """What the posterior pass over a batch yields; all [batch, time, ...].

    Attributes:
        deter: float [..., deter].
        stoch: float [..., stoch * classes], one-hot with straight-through gradient.
        index: int64 [..., stoch].
        posterior, prior: float [..., stoch, classes], log-probabilities.
    """

    deter: torch.Tensor
    stoch: torch.Tensor
    index: torch.Tensor
    posterior: torch.Tensor
    prior: torch.Tensor


class RSSM(nn.Module):
    """Dynamics of DreamerV3; projections that do not depend on the recurrence are computed for all steps at once."""

    def __init__(self, size: Size, embedding: int, actions: int, uniform_mix: float):
        super().__init__()
        self.size, self.uniform_mix = size, uniform_mix
        flat = size.stoch * size.classes
        self.initial_deter = nn.Parameter(torch.zeros(size.deter))
        self.from_stoch = Linear(flat, size.units, bias=False, fans=(flat + actions, size.units))
        self.from_action = Linear(actions, size.units, bias=False, fans=(flat + actions, size.units))
        self.input_norm = NormSiLU(size.units)
        self.gates = Linear(size.units + size.deter, 3 * size.deter, bias=False)
        self.gate_norm = nn.LayerNorm(3 * size.deter, eps=EPSILON)
        self.prior_head = nn.Sequential(dense(size.deter, size.units), Linear(size.units, flat))
        self.from_deter = Linear(size.deter, size.units, bias=False, fans=(size.deter + embedding, size.units))
        self.from_embedding = Linear(embedding, size.units, bias=False, fans=(size.deter + embedding, size.units))
        self.posterior_norm = NormSiLU(size.units)
        self.posterior_output = Linear(size.units, flat)

    def _variables(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.unflatten(-1, (self.size.stoch, self.size.classes))

    def _split(self, logits: torch.Tensor) -> torch.Tensor:
        return mixed(self._variables(logits), self.uniform_mix)

    def prior(self, deter: torch.Tensor) -> torch.Tensor:
        """Probabilities of z given h: float [..., deter] -> [..., stoch, classes]."""
        return self._split(self.prior_head(deter))

    def initial(self, rows: int) -> State:
        """The learned start: tanh of a parameter, and the mode of its prior."""
        deter = torch.tanh(self.initial_deter)
        return State(deter.expand(rows, -1), self.prior(deter.detach()).argmax(-1).expand(rows, -1))

    def action_projection(self, action: torch.Tensor) -> torch.Tensor:
        """Share of the input layer that comes from the action, each component scaled into [-1, 1]: [..., actions] -> [..., units]."""
        return self.from_action(into_unit_box(action))

    def stoch_projection(self, stoch: torch.Tensor) -> torch.Tensor:
        """The same from z, given one-hot (float [rows, stoch * classes]) or as classes (int64 [rows, stoch])."""
        return self.from_stoch(stoch).float() if stoch.is_floating_point() else gather_rows(stoch, self.from_stoch.weight)

    def step(self, deter: torch.Tensor, projected: torch.Tensor) -> torch.Tensor:
        """h_{t+1} = f(a_t, h_t, z_t): GRU cell with LayerNorm on its joint projection and bias -1 on the update gate.

        The memory stays float32 under autocast, so that rounding does not add up over time.

        Args:
            deter: float [rows, deter].
            projected: float [rows, units], sum of `stoch_projection` and `action_projection`.

        Returns:
            float [rows, deter].
        """
        x = self.input_norm(projected)
        gates = self.gates(torch.cat([x, deter.to(x.dtype)], -1))
        return gated(gates, self.gate_norm.weight, self.gate_norm.bias, deter)

    def posterior_step(self, deter: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        """Probabilities of z given h and the projected embedding: float [rows, stoch, classes]."""
        return self._split(self.posterior_output(self.posterior_norm(self.from_deter(deter) + embedded)))

    def embedding_projection(self, embedding: torch.Tensor) -> torch.Tensor:
        """Share of the posterior's hidden layer that comes from the embedding: [..., embedding] -> [..., units]."""
        return self.from_embedding(embedding)

    def observe(self, embedding: torch.Tensor, action: torch.Tensor, is_first: torch.Tensor, uniform: torch.Tensor) -> Observed:
        """Posterior states of a batch; at `is_first` state and action are forgotten.

        Args:
            embedding: float [batch, time, embedding].
            action: float [batch, time, actions], the action that led to each step.
            is_first: bool [batch, time]; the first column counts as true.
            uniform: float [batch, time, stoch] in [0, 1), the randomness of the samples.
        """
        embedded, acted = self.embedding_projection(embedding), self.action_projection(action)
        keep = (~is_first).float()
        acted = acted * keep.unsqueeze(-1)
        start = self.initial(1)
        start_projection = self.stoch_projection(start.index)
        deter, stoch, index, posterior = scan(self, embedded, acted, keep, uniform, start.deter[0], start_projection[0])
        return Observed(deter, stoch, index, posterior.log(), self.prior(deter).log())

    def observe_step(
        self, state: State, action: torch.Tensor, embedding: torch.Tensor, is_first: torch.Tensor, uniform: torch.Tensor
    ) -> State:
        """One posterior step while acting, without gradient; shapes as `observe` without the time axis."""
        start, first = self.initial(len(is_first)), is_first.unsqueeze(-1)
        deter = torch.where(first, start.deter, state.deter)
        index = torch.where(first, start.index, state.index)
        acted = self.action_projection(action) * (~first)
        deter = self.step(deter, self.stoch_projection(index) + acted)
        return State(deter, sample_index(self.posterior_step(deter, self.embedding_projection(embedding)), uniform))

    def imagine_step(self, deter: torch.Tensor, stoch: torch.Tensor, action: torch.Tensor, uniform: torch.Tensor):
        """One prior step.

        Args:
            deter: float [rows, deter].
            stoch: classes (int64 [rows, stoch]) or, to keep gradients, one-hot float [rows, stoch * classes].
            action: float [rows, actions].
            uniform: float [rows, stoch] in [0, 1).

        Returns:
            The next deter, the next classes, and the probabilities they were drawn from [rows, stoch, classes].
        """
        deter = self.step(deter, self.stoch_projection(stoch) + self.action_projection(action))
        logits = self._variables(self.prior_head(deter))
        return deter, *draw(logits, self.uniform_mix, uniform)


def into_unit_box(action: torch.Tensor) -> torch.Tensor:
    """Each component of an action scaled into [-1, 1], as the environment clips it: float [..., actions] -> [..., actions]."""
    return action / action.detach().abs().clamp(min=1)


def one_hot(index: torch.Tensor, classes: int) -> torch.Tensor:
    """Classes as one-hot vectors side by side: int64 [..., stoch] -> float [..., stoch * classes]."""
    return F.one_hot(index, classes).flatten(-2).float()
