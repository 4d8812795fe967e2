"""The reward model's architecture is the published one; the file it is stored in suffices to load it; the scorer."""

import numpy as np
import pytest
import torch
from torch import nn

from sensei.core.errors import SenseiError
from sensei.reward.model import SMALLEST, Elu, RewardModel, image_features, load_model, save_model
from sensei.reward.scorer import CHUNK, RewardScorer
from sensei.study.models.reward import RewardModelConfig

PAPER, SMALL = RewardModelConfig(), RewardModelConfig(architecture="small")


def frames(number: int, flags: int = 1, side: int = 80, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random pictures and flags."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (number, side, side, 3), np.uint8), rng.integers(2, size=(number, flags)).astype(np.float32)


@pytest.mark.parametrize(("side", "features"), [(224, 2304), (80, 64), (64, 64)])
def test_feature_sizes_are_the_published_ones(side, features):
    assert image_features(side, side) == features
    model = RewardModel((side, side, 3), 0, PAPER)
    assert model.convolutions(torch.zeros(1, 3, side, side)).shape == (1, features)


@pytest.mark.parametrize(("side", "seen"), [(52, 52), (64, 52), (80, 52), (224, 212)])
def test_the_published_geometry_sees_only_the_upper_left(side, seen):
    image = torch.rand(1, 3, side, side, requires_grad=True)
    # Averaging in the place of the maximum, so that the gradient shows all that can matter, not only what won.
    layers = [
        nn.AvgPool2d(2) if isinstance(layer, nn.MaxPool2d) else layer for layer in RewardModel((side, side, 3), 0, PAPER).convolutions
    ]
    nn.Sequential(*layers)(image).sum().backward()
    rows, columns = torch.nonzero(image.grad[0].abs().sum(0), as_tuple=True)
    assert (int(rows.max()) + 1, int(columns.max()) + 1) == (seen, seen)


@pytest.mark.parametrize("side", [80, 64, 224])
def test_small_sees_beyond_the_published_border(side):
    image = torch.rand(1, 3, side, side, requires_grad=True)
    model = RewardModel((side, side, 3), 0, SMALL)
    nn.Sequential(*(layer for layer in model.convolutions if not isinstance(layer, nn.MaxPool2d)))(image).sum().backward()
    seen = int(torch.nonzero(image.grad[0].abs().sum((0, 2))).max()) + 1
    features = image_features(side, side, 32, keep_border=True)
    assert model.convolutions(image).shape == (1, features)
    assert seen >= {80: 68, 64: 52, 224: 212}[side]
    assert features >= image_features(side, side, 32)


def test_layers_are_the_published_ones():
    model = RewardModel((80, 80, 3), 1, PAPER)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    geometry = [(m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0], m.padding[0]) for m in convolutions]
    assert geometry == [(3, 16, 8, 4, 0), (16, 32, 4, 2, 0), (32, 64, 3, 2, 0)]
    linear = [(m.in_features, m.out_features) for m in model.modules() if isinstance(m, nn.Linear)]
    assert linear == [(1, 512), (512, 512), (64 + 512, 256), (256, 512), (512, 1)]
    assert sum(isinstance(m, nn.ReLU) for m in model.modules()) == 4
    assert sum(isinstance(m, Elu) for m in model.modules()) == 3
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight.detach().flatten(1)
            gram = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
            torch.testing.assert_close(gram, torch.eye(len(gram)), atol=1e-4, rtol=0)
            assert module.bias.abs().max() == 0


def test_small_has_half_the_channels_and_a_quarter_of_the_units():
    model = RewardModel((80, 80, 3), 2, SMALL)
    assert [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)] == [8, 16, 32]
    assert [m.out_features for m in model.modules() if isinstance(m, nn.Linear)] == [128, 128, 64, 128, 1]


def test_the_fast_elu_is_elu():
    x = torch.linspace(-6, 6, 1001, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(Elu()(x), nn.functional.elu(x))
    weights = torch.linspace(1, 2, 1001, dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((weights * f(x)).sum(), x)[0] for f in (Elu(), nn.functional.elu))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("config", [PAPER, SMALL])
@pytest.mark.parametrize(("shape", "flags"), [((SMALLEST, SMALLEST, 3), 0), ((144, 160, 3), 0), ((80, 80, 3), 1), ((64, 96, 3), 5)])
def test_every_picture_that_fits_is_scored(config, shape, flags):
    model = RewardModel(shape, flags, config)
    rewards = model(torch.randint(256, (3, *shape), dtype=torch.uint8), torch.rand(3, flags))
    assert rewards.shape == (3,)
    assert rewards.dtype == torch.float32


def test_pictures_too_small_are_refused():
    with pytest.raises(SenseiError, match="found 51 x 80, expected 52 or more"):
        RewardModel((51, 80, 3), 0, PAPER)


def test_the_flag_matters():
    images, _ = frames(4)
    model = RewardModel((80, 80, 3), 1, PAPER)
    with_key, without = (model(torch.from_numpy(images), torch.full((4, 1), value)) for value in (1.0, 0.0))
    assert (with_key != without).all()


def test_a_stored_model_needs_nothing_else_and_draws_no_random_numbers(tmp_path):
    model = RewardModel((80, 80, 3), 1, SMALL.model_copy(update={"clip": 7.0, "hidden": 64}))
    save_model(tmp_path / "reward.safetensors", model)
    state = torch.get_rng_state()
    loaded = load_model(tmp_path / "reward.safetensors")
    assert torch.equal(torch.get_rng_state(), state)
    assert (loaded.config, loaded.image_shape, loaded.flags_size) == (model.config, (80, 80, 3), 1)
    images, flags = map(torch.from_numpy, frames(5))
    torch.testing.assert_close(loaded(images, flags), model(images, flags))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_damaged_model_is_named(tmp_path):
    path = tmp_path / "reward.safetensors"
    with pytest.raises(SenseiError, match="there is no reward model .*reward.safetensors"):
        load_model(path)
    save_model(path, RewardModel((80, 80, 3), 1, SMALL))
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", whole.replace(b"flags_size", b"plags_size"), whole.replace(b"clip", b"klip")):
        path.write_bytes(content)
        with pytest.raises(SenseiError, match="reward.safetensors is no reward model, or damaged"):
            load_model(path)


def scorer(clip: float = 100.0, flags: int = 1) -> RewardScorer:
    """A scorer whose rewards are spread out."""
    model = RewardModel((80, 80, 3), flags, SMALL.model_copy(update={"clip": clip}), torch.Generator().manual_seed(0))
    model.head[-1].weight.data *= 10
    return RewardScorer(model.requires_grad_(False))


def test_scores_do_not_depend_on_the_batch():
    score, (images, flags) = scorer(), frames(CHUNK + 76)
    together = score(images, flags)
    assert (together.shape, together.dtype) == ((CHUNK + 76,), np.float32)
    apart = np.concatenate([score(images[:3], flags[:3]), score(images[3:], flags[3:])])
    np.testing.assert_allclose(together, apart, atol=1e-5)
    assert score(images[:0], flags[:0]).shape == (0,)
    assert scorer(flags=0)(images[:2], flags[:2, :0]).shape == (2,)


def test_images_go_through_in_chunks():
    score, (images, flags), sizes = scorer(), frames(2 * CHUNK + 1), []
    score.model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    score(images, flags)
    assert sizes == [CHUNK, CHUNK, 1]


def test_scores_are_clipped():
    images, flags = frames(50)
    raw = scorer(clip=1e6)(images, flags)
    clip = float(np.abs(raw).mean())
    clipped = scorer(clip=clip)(images, flags)
    np.testing.assert_allclose(clipped, raw.clip(-clip, clip), atol=1e-6)
    assert np.abs(clipped).max() == np.float32(clip)


@pytest.mark.parametrize(("side", "flags", "dtype"), [(64, 1, np.uint8), (80, 2, np.uint8), (80, 1, np.float32)])
def test_frames_of_another_environment_are_refused(side, flags, dtype):
    images, values = frames(2, flags, side)
    with pytest.raises(SenseiError, match="belongs to another environment"):
        scorer()(images.astype(dtype), values)
