"""Every kernel in C against PyTorch's own operations: values, gradients, threads, extreme numbers; and machines without a compiler."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fakes.agents import dreamer
from fakes.both_ways import arrays, assert_close, both_ways
from hypothesis import given, settings
from hypothesis import strategies as st

from sensei.kernels import bindings as kernels
from sensei.kernels.convolutions import Down, Up
from sensei.kernels.products import library_kernels
from sensei.world_model import distributions
from sensei.world_model.networks import BatchedMLP, NormSiLU, picture_error
from sensei.world_model.rssm import RSSM
from sensei.world_model.sizes import Size

WIDTHS = (8, 16, 32, 48, 64, 128, 384)


@pytest.fixture(autouse=True)
def compiled():
    if kernels.library() is None:
        pytest.skip("no C compiler")


def leaf(*shape: int, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    return (scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).requires_grad_()


def refuse(*_):
    raise AssertionError("a kernel was called")


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.sampled_from(WIDTHS), st.sampled_from([1e-3, 1.0, 1e4]), st.integers(0, 9))
def test_layer_norm_with_silu(rows, width, scale, seed):
    layer, x = NormSiLU(width), leaf(rows, width, scale=scale, seed=seed)
    with torch.no_grad():
        layer.weight.copy_(leaf(width, seed=seed + 1)), layer.bias.copy_(leaf(width, scale=20, seed=seed + 2))
    assert_close(*both_ways(lambda: layer(x), x, *layer.parameters()))


def test_layer_norm_of_several_heads_whose_rows_lie_apart():
    critics = BatchedMLP(3, 16, 8, 0, 32, 2, 5)
    x, index = leaf(7, 16), torch.zeros(7, 2, dtype=torch.int64)
    assert_close(*both_ways(lambda: critics(x, index), x, *critics.parameters()))


@pytest.mark.parametrize("width", [8, 64])
def test_a_nan_stays_in_its_row(width):
    x = torch.ones(3, width)
    x[1, 2] = float("nan")
    assert NormSiLU(width)(x).isnan().all(-1).tolist() == [False, True, False]


def test_widths_that_fill_no_vector_are_left_to_the_library(monkeypatch):
    monkeypatch.setattr(kernels, "_call", refuse)
    assert NormSiLU(12)(torch.ones(2, 12)).shape == (2, 12)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.sampled_from([16, 48, 128]), st.sampled_from([0.1, 10.0]))
def test_gates_of_the_recurrence(rows, units, scale):
    x, deter, weight, bias = leaf(rows, 3 * units, scale=scale), leaf(rows, units, seed=1), leaf(3 * units, seed=2), leaf(3 * units, seed=3)

    def plain():
        reset, candidate, update = F.layer_norm(x, (3 * units,), weight, bias, 1e-3).chunk(3, -1)
        return torch.lerp(deter, torch.tanh(torch.sigmoid(reset) * candidate), torch.sigmoid(update - 1))

    leaves = x, weight, bias, deter
    ours, _ = both_ways(lambda: kernels.recur(*leaves) if kernels.applies(x) else plain(), *leaves)
    _, theirs = both_ways(plain, *leaves)
    assert_close(ours, theirs)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 64), st.sampled_from([0.1, 1.0, 100.0]), st.sampled_from([0.0, 0.01]), st.integers(0, 9))
def test_draws_follow_the_same_uniforms(draws, classes, scale, mix, seed):
    logits = leaf(draws, classes, scale=scale, seed=seed).detach()
    uniform = torch.rand(draws, generator=torch.Generator().manual_seed(seed))
    index, probabilities = kernels.draw(logits, mix, uniform)
    expected = distributions.mixed(logits, mix)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    edges = torch.cumsum(expected.double(), -1)
    clear = ((edges - uniform.double().unsqueeze(-1)).abs() > 1e-5).all(-1)
    assert index[clear].equal(distributions.sample_index(expected, uniform)[clear])
    assert index.min() >= 0 and index.max() < classes


@pytest.mark.parametrize("logits", [[0.0, float("nan"), 0.0], [float("nan")] * 3, [float("inf"), 0.0, 0.0]])
def test_a_draw_without_probabilities_still_is_a_class_and_shows_it(logits):
    index, probabilities = kernels.draw(torch.tensor([logits]), 0.01, torch.tensor([0.5]))
    assert 0 <= index.item() < 3 and probabilities.isnan().all()


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 20), st.sampled_from([0.1, 5.0, 200.0]))
def test_two_hot_regression(rows, scale):
    logits, target = leaf(rows, 255, scale=scale), 100 * leaf(rows, seed=1).detach()
    assert_close(*both_ways(lambda: distributions.two_hot_loss(logits, target), logits))
    ours = distributions.two_hot_mean(logits.detach())
    with library_kernels():
        np.testing.assert_allclose(ours, distributions.two_hot_mean(logits.detach()), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("channels", kernels.NARROW)
@pytest.mark.parametrize("half", [8, 12, 32])
def test_convolutions_between_pictures_and_few_channels(channels, half):
    picture, map = leaf(3, 3, 2 * half, 2 * half).detach(), leaf(3, channels, half, half)
    down, up = Down(3, channels), Up(channels, 3, bias=True)
    assert kernels.pictures(picture, channels, half)
    assert_close(*both_ways(lambda: down(picture), *down.parameters()))
    assert_close(*both_ways(lambda: up(map), map, *up.parameters()))


def test_error_of_pictures():
    predicted = leaf(5, 8, 8, 3)
    image = torch.randint(256, (5, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert_close(*both_ways(lambda: picture_error(predicted, image), predicted))


def scan(size: Size, batch: int, time: int):
    """A model, and a function of its parameters and an embedding that observes a batch with episodes that begin in the middle."""
    torch.manual_seed(0)
    model, embedding = RSSM(size, 24, 3, 0.01), leaf(batch, time, 24)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    action, uniform, first = torch.randn(batch, time, 3), torch.rand(batch, time, size.stoch), torch.rand(batch, time) < 0.2
    first[:, 0] = True

    def observe() -> torch.Tensor:
        observed = model.observe(embedding, action, first, uniform)
        return torch.cat([part.flatten(2) for part in (observed.deter, observed.stoch, observed.posterior, observed.prior)], -1)

    return observe, embedding, *model.parameters()


SCANS = [(Size(32, 4, 4, 8, 48, 1), 3, 5), (Size(64, 16, 8, 8, 64, 1), 9, 7), (Size(48, 5, 16, 8, 32, 1), 17, 4)]


@pytest.mark.parametrize("shape", SCANS)
def test_the_posterior_scan_and_its_gradient(monkeypatch, shape):
    observe, *leaves = scan(*shape)
    assert_close(*both_ways(observe, *leaves))
    monkeypatch.setattr(RSSM, "_scan", refuse)
    observe()


def test_threads_change_no_more_than_the_order_of_sums(monkeypatch):
    monkeypatch.setattr(kernels, "GRAIN", 0)
    up, layer, map, x = Up(8, 3, bias=True), NormSiLU(8), leaf(5, 8, 8, 8), leaf(31, 8)
    observe, *leaves = scan(*SCANS[0])
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            parts = [both_ways(lambda: up(map), map, *up.parameters()), both_ways(lambda: layer(x), x, *layer.parameters())]
            results.append([part for ours, _ in [*parts, both_ways(observe, *leaves)] for part in ours])
    finally:
        torch.set_num_threads(before)
    assert_close(results[0], results[1])
    assert all(first.equal(second) for first, second in zip(results[1], results[2], strict=True))


def test_compile_off_is_plain_pytorch(monkeypatch):
    agent = dreamer(True, "explore")
    agent.learning.plain = True
    monkeypatch.setattr(kernels, "library", refuse)
    agent.update(arrays(True))
    agent.learning.plain = False
    with pytest.raises(AssertionError, match="a kernel was called"):
        agent.update(arrays(True))


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """An empty cache folder, and nothing loaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernels.library.cache_clear()
    yield tmp_path
    kernels.library.cache_clear()


def test_without_a_compiler_pytorch_does_it_and_the_log_says_so(fresh, monkeypatch, caplog):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    layer, x = NormSiLU(16), leaf(3, 16)
    assert_close(*both_ways(lambda: layer(x), x))
    assert kernels.library() is None and caplog.text.count("no C compiler") == 1


def test_a_compiler_that_fails_is_no_error(fresh, monkeypatch, caplog):
    monkeypatch.setenv("CC", "false")
    assert kernels.library() is None and "cannot be compiled" in caplog.text
    assert not list(fresh.rglob("*.so")) and not list(fresh.rglob("*.o"))


def test_processes_that_compile_at_once_all_get_the_kernels(fresh):
    code = "from sensei.world_model import kernels; assert kernels.library() is not None"
    processes = [subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ)) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(list(fresh.rglob("*"))) == 2  # the folder and one library
