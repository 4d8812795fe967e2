"""Categorical variables: draws from logits; regression over bins by cross-entropy with two of them, and its mean."""

import torch

from sensei.kernels.choice import call, card, ours
from sensei.kernels.library import MOST_BINS, MOST_CLASSES, threads


def mixed(logits: torch.Tensor, uniform_mix: float) -> torch.Tensor:
    """Probabilities of a categorical mixed with `uniform_mix` of the uniform distribution: float [..., classes]."""
    return torch.softmax(logits.float(), -1) * (1 - uniform_mix) + uniform_mix / logits.shape[-1]


def sample_index(probabilities: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Draw from a categorical by inverting its cumulative distribution (one uniform a draw; ten times faster than multinomial).

    Args:
        probabilities: float [..., classes], summing to one.
        uniform: float [...] in [0, 1).

    Returns:
        int64 [...].
    """
    cumulative = torch.cumsum(probabilities, -1)
    index = (cumulative <= uniform.unsqueeze(-1) * cumulative[..., -1:]).sum(-1)
    return index.clamp(max=probabilities.shape[-1] - 1)


def draw(logits: torch.Tensor, uniform_mix: float, uniform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes drawn from mixed categoricals, and the probabilities: float [..., classes], [...] -> int64 [...], float [..., classes]."""
    if triton := card(logits):
        return triton.draw(logits, uniform_mix, uniform)
    classes = logits.shape[-1]
    if classes > MOST_CLASSES or _wants_gradient(logits) or not ours("draw", logits, uniform):
        probabilities = mixed(logits, uniform_mix)
        return sample_index(probabilities.detach(), uniform), probabilities
    index, probabilities = torch.empty(uniform.shape, dtype=torch.int64), torch.empty(logits.shape)
    layout = uniform.numel(), classes, float(uniform_mix), threads(logits.numel())
    call("draw", logits.contiguous(), uniform.contiguous(), probabilities, None, index, *layout)
    return index, probabilities


def straight_through(index: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """One-hot sample whose gradient is that of the probabilities: int64 [...], float [..., classes] -> float [..., classes]."""
    if triton := card(probabilities):
        return triton.straight_through(index, probabilities)
    vectors = torch.nn.functional.one_hot(index, probabilities.shape[-1]).to(probabilities.dtype)
    return vectors + probabilities - probabilities.detach() if probabilities.requires_grad else vectors


def two_hot_mean(logits: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Mean of values float [bins] under the softmax of logits float [..., bins] -> [...]."""
    bins = logits.shape[-1]
    if bins > MOST_BINS or _wants_gradient(logits) or not ours("two_hot_mean", logits, values):
        with torch.autocast(logits.device.type, enabled=False):  # which would round the product
            return torch.softmax(logits.float(), -1) @ values
    logits, mean = logits.contiguous(), torch.empty(logits.shape[:-1])
    values = torch.nn.functional.pad(values, (0, MOST_BINS - bins))
    call("two_hot_mean", logits, values, mean, mean.numel(), bins, threads(logits.numel()))
    return mean


def two_hot_loss(logits: torch.Tensor, below: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with targets of mass 1 - share on bin `below` and share on the next; the bins are passed once for all targets.

    Args:
        logits: float [..., bins], or log-probabilities.
        below: int64 [targets, ...], less than bins - 1.
        share: float [targets, ...], without gradient where the kernel is to be used.

    Returns:
        float [targets, ...], in nats.
    """
    if logits.shape[-1] > MOST_BINS or share.requires_grad or not ours("two_hot_loss", logits, share):
        log_p = torch.log_softmax(logits.float(), -1).expand(len(below), *logits.shape)
        lower, upper = (log_p.gather(-1, index.unsqueeze(-1)).squeeze(-1) for index in (below, below + 1))
        return -torch.lerp(lower, upper, share)
    return _TwoHotLoss.apply(logits.contiguous(), below.contiguous(), share.contiguous())


def _wants_gradient(logits: torch.Tensor) -> bool:
    return torch.is_grad_enabled() and logits.requires_grad


class _TwoHotLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: torch.Tensor, below: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        loss, scale = torch.empty_like(share), torch.empty(share.shape[1:])
        ctx.layout = len(share), scale.numel(), logits.shape[-1], threads(logits.numel())
        ctx.save_for_backward(logits, below, share, scale)
        call("two_hot_loss", logits, below, share, loss, scale, *ctx.layout)
        return loss

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        logits, *saved = ctx.saved_tensors
        of_logits = torch.empty_like(logits)
        call("two_hot_back", logits, *saved, gradient.contiguous(), of_logits, *ctx.layout)
        return of_logits, None, None
