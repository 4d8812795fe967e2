"""Adam with gradient clipping, over all parameters at once or over each batched head by itself."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


class Optimiser:
    """One fused Adam.

    Args:
        parameters: what it moves.
        clip: largest gradient norm.
        head_axes: for parameters that hold several independent heads the axis of the heads; each head is then clipped by its
            own norm, as if it had an optimiser of its own.
        apart: modules clipped by their own norm, so that their gradients do not scale those of the others.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        epsilon: float,
        clip: float,
        head_axes: dict[nn.Parameter, int] | None = None,
        apart: Iterable[nn.Module] = (),
    ):
        self.parameters, self.clip, self.head_axes = list(parameters), clip, head_axes
        self.adam = torch.optim.Adam(self.parameters, lr=learning_rate, eps=epsilon, fused=True)
        self.apart = [list(module.parameters()) for module in apart]
        separate = {id(parameter) for group in self.apart for parameter in group}
        self.joint = [parameter for parameter in self.parameters if id(parameter) not in separate]

    def step(self, loss: torch.Tensor) -> torch.Tensor:
        """Move the parameters against the gradient of a scalar loss; returns the joint gradient norm before clipping."""
        self.backward(loss)
        return self.move()

    def backward(self, loss: torch.Tensor) -> None:
        """Give every parameter its gradient; the first half of a step."""
        self.adam.zero_grad(set_to_none=True)
        with torch.autocast(loss.device.type, enabled=False):  # a gradient has the type of the value it belongs to
            loss.backward(inputs=self.parameters)

    def move(self) -> torch.Tensor:
        """Clip the gradients and move against them, the second half; returns the joint gradient norm before clipping."""
        norm = self._clip_heads() if self.head_axes else nn.utils.clip_grad_norm_(self.joint, self.clip, foreach=True)
        for group in self.apart:
            nn.utils.clip_grad_norm_(group, self.clip, foreach=True)
        self.adam.step()
        return norm

    def take_over(self, explored: dict[str, Any]) -> None:
        """Load the state of an optimiser of these parameters and of more that came after them, which is left out."""
        group = explored["param_groups"][0]
        known = group["params"][: len(self.parameters)]
        state = {index: explored["state"][index] for index in known if index in explored["state"]}
        self.adam.load_state_dict({"state": state, "param_groups": [{**group, "params": known}]})

    def forget(self, parameters: Iterable[nn.Parameter]) -> None:
        """Begin anew with some parameters."""
        for parameter in parameters:
            self.adam.state.pop(parameter, None)

    def _clip_heads(self) -> torch.Tensor:
        square = torch.stack([p.grad.square().sum([d for d in range(p.dim()) if d != axis]) for p, axis in self.head_axes.items()]).sum(0)
        scale = (self.clip / (square.sqrt() + 1e-6)).clamp(max=1)
        for parameter, axis in self.head_axes.items():
            parameter.grad *= scale.view([-1 if d == axis else 1 for d in range(parameter.dim())])
        return square.sum().sqrt()
