"""Adapters: one DreamerV3 update of another implementation, from a checkout that the user has.

Each calls the functions that the peer's own training loop calls for an update, with the peer's default settings except for the sizes
of the problem. Nothing of a peer is kept here.
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sensei.errors import SenseiError

if TYPE_CHECKING:
    from sensei.bench.update import Problem

HORIZON, MEMBERS = 15, 10


def build(folder: Path, problem: "Problem", ensemble: bool, device: str) -> Callable[[], Any]:
    """The update of the implementation in `folder` on the same synthetic batch as ours.

    Raises:
        SenseiError: the folder is no checkout of a known implementation, or a package that it needs is missing.
    """
    if (folder / "models.py").is_file() and (folder / "exploration.py").is_file():
        adapter = nm512
    elif (folder / "sheeprl" / "algos" / "dreamer_v3").is_dir():
        adapter = sheeprl
    else:
        raise SenseiError(f"no known implementation in {folder}", hint="give a checkout of NM512/dreamerv3-torch or of Eclectic-Sheep/sheeprl")
    sys.path.insert(0, str(folder))
    try:
        return adapter(folder, problem, ensemble, device)
    except ModuleNotFoundError as error:
        raise SenseiError(f"{folder.name} needs the package {error.name}", hint=f"pip install what {folder.name} lists, see its README") from error


def nm512(folder: Path, problem: "Problem", ensemble: bool, device: str) -> Callable[[], Any]:
    """NM512/dreamerv3-torch: `WorldModel._train`, `ImagBehavior._train` and, with the ensemble, `Plan2Explore.train`."""
    from sensei.bench.update import synthetic

    yaml = importlib.import_module("ruamel.yaml")
    models, networks = importlib.import_module("models"), importlib.import_module("networks")
    # Its ensemble is built without a device; the default is a GPU.
    networks.MLP.__init__.__defaults__ = tuple(device if value == "cuda" else value for value in networks.MLP.__init__.__defaults__)
    defaults = yaml.YAML(typ="safe", pure=True).load((folder / "configs.yaml").read_text(encoding="utf-8"))["defaults"]
    config = SimpleNamespace(**_numbers(defaults))
    vars(config).update(
        device=device, compile=False, precision=32, imag_horizon=HORIZON, num_actions=problem.actions, units=problem.units,
        batch_size=problem.batch, batch_length=problem.length, dyn_hidden=problem.units, dyn_deter=problem.deter, dyn_stoch=problem.stoch,
        dyn_discrete=problem.classes, disag_models=MEMBERS, disag_layers=problem.layers, disag_units=problem.units, disag_action_cond=True,
        expl_behavior="plan2explore" if ensemble else "greedy",
    )  # fmt: skip
    for part in (config.encoder, config.decoder):
        part["cnn_depth"] = problem.depth
    for part in (config.actor, config.critic, config.reward_head, config.cont_head):
        part["layers"] = problem.layers
    if problem.discrete:
        config.actor.update(dist="onehot", std="none")
        config.imag_gradient = "reinforce"
    spaces = SimpleNamespace(spaces={"image": SimpleNamespace(shape=(64, 64, 3))}), SimpleNamespace(n=problem.actions)
    model = models.WorldModel(*spaces, 0, config).to(device)
    task = models.ImagBehavior(config, model).to(device)
    explorer = None
    if ensemble:
        reward = lambda features, state, action: model.heads["reward"](features).mean()  # noqa: E731
        explorer = importlib.import_module("exploration").Plan2Explore(config, model, reward).to(device)
    for module in (model, task, explorer):
        if module is not None:
            module.requires_grad_(False)
    arrays = synthetic(problem)
    data = {name: arrays[name] for name in ("image", "reward")}
    data |= {name: arrays[name].astype(np.float32) for name in ("is_first", "is_terminal")}
    data["action"] = np.eye(problem.actions, dtype=np.float32)[arrays["action"]] if problem.discrete else arrays["action"]

    def step() -> None:
        posterior, context, _ = model._train(dict(data))
        task._train(posterior, lambda features, state, action: model.heads["reward"](model.dynamics.get_feat(state)).mode())
        if explorer is not None:
            explorer.train(posterior, context, data)

    return step


def _numbers(value: Any) -> Any:
    """YAML of version 1.1 reads 1e-4 as text."""
    if isinstance(value, dict):
        return {key: _numbers(part) for key, part in value.items()}
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def sheeprl(folder: Path, problem: "Problem", ensemble: bool, device: str) -> Callable[[], Any]:
    """Eclectic-Sheep/sheeprl: `train` of dreamer_v3 or of the exploration of p2e_dv3, with the slow critics' step of its main loop."""
    from sensei.bench.update import synthetic

    hydra, omegaconf = importlib.import_module("hydra"), importlib.import_module("omegaconf")
    fabric_module, spaces = importlib.import_module("lightning.fabric"), importlib.import_module("gymnasium").spaces
    algorithm = "p2e_dv3" if ensemble else "dreamer_v3"
    entry = "p2e_dv3_exploration" if ensemble else "dreamer_v3"
    agent = importlib.import_module(f"sheeprl.algos.{algorithm}.agent")
    train = importlib.import_module(f"sheeprl.algos.{algorithm}.{entry}").train
    moments = importlib.import_module("sheeprl.algos.dreamer_v3.utils").Moments
    options = {
        "per_rank_batch_size": problem.batch, "per_rank_sequence_length": problem.length, "horizon": HORIZON,
        "dense_units": problem.units, "mlp_layers": problem.layers, "world_model.encoder.cnn_channels_multiplier": problem.depth,
        "world_model.recurrent_model.recurrent_state_size": problem.deter, "world_model.recurrent_model.dense_units": problem.units,
        "world_model.transition_model.hidden_size": problem.units, "world_model.representation_model.hidden_size": problem.units,
        "world_model.stochastic_size": problem.stoch, "world_model.discrete_size": problem.classes,
        "cnn_keys.encoder": "[rgb]", "mlp_keys.encoder": "[]",
    }  # fmt: skip
    if ensemble:
        options |= {"ensembles.n": MEMBERS, "ensembles.mlp_layers": problem.layers, "ensembles.dense_units": problem.units}
    accelerator = "gpu" if device == "cuda" else "cpu"
    words = [f"exp={entry}", "env=dummy", "env.num_envs=1", "env.screen_size=64", "metric.log_level=0", f"fabric.accelerator={accelerator}"]
    with hydra.initialize_config_dir(config_dir=str(folder / "sheeprl" / "configs"), version_base="1.3"):
        composed = hydra.compose(config_name="config", overrides=[*words, *(f"algo.{key}={value}" for key, value in options.items())])
    parts = omegaconf.OmegaConf.to_container(composed, resolve=False)
    root = omegaconf.OmegaConf.create({key: parts[key] for key in ("algo", "distribution", "env", "seed")})
    root.env.id = "dummy"
    root.env.pop("wrapper", None)
    root.algo.total_steps = 1
    config = importlib.import_module("sheeprl.utils.utils").dotdict(omegaconf.OmegaConf.to_container(root, resolve=True))
    torch.distributions.Distribution.set_default_validate_args(config.distribution.validate_args)
    fabric = fabric_module.Fabric(accelerator=accelerator, devices=1, precision="32-true")
    observations = spaces.Dict({"rgb": spaces.Box(0, 255, (3, 64, 64), np.uint8)})
    algo, shape, continuous = config.algo, (problem.actions,), not problem.discrete
    data = {name: torch.from_numpy(array).to(device) for name, array in _time_first(synthetic(problem), problem).items()}
    metrics = SimpleNamespace(disabled=True, update=lambda name, value: None)

    def optimiser(settings: Any, module: Any) -> Any:
        return fabric.setup_optimizers(hydra.utils.instantiate(settings, params=module.parameters(), _convert_="all"))

    def percentiles() -> Any:
        given = algo.actor.moments
        return moments(given.decay, given.max, given.percentile.low, given.percentile.high)

    def follow(critic: Any, target: Any) -> None:
        for ours, theirs in zip(critic.parameters(), target.parameters(), strict=True):
            theirs.data.copy_(algo.critic.tau * ours.data + (1 - algo.critic.tau) * theirs.data)

    built = agent.build_agent(fabric, shape, continuous, config, observations)
    if not ensemble:
        model, actor, critic, target, _ = built
        optimisers = [optimiser(algo[name].optimizer, part) for name, part in (("world_model", model), ("actor", actor), ("critic", critic))]
        scale = percentiles()

        def step() -> None:
            follow(critic.module, target)
            batch = {name: value.float() for name, value in data.items()}
            train(fabric, model, actor, critic, target, *optimisers, batch, metrics, config, continuous, shape, scale)

        return step
    model, members, actor, critic, target, explorer, critics, _ = built
    optimisers = [optimiser(algo[name].optimizer, part) for name, part in (("world_model", model), ("actor", actor), ("critic", critic))]
    for part in critics.values():
        part["optimizer"] = optimiser(algo.critic.optimizer, part["module"])
    more = {
        "ensembles": members, "ensemble_optimizer": optimiser(algo.critic.optimizer, members), "actor_exploration": explorer,
        "critics_exploration": critics, "actor_exploration_optimizer": optimiser(algo.actor.optimizer, explorer),
        "moments_exploration": {name: percentiles() for name in critics}, "moments_task": percentiles(),
        "is_continuous": continuous, "actions_dim": shape,
    }  # fmt: skip

    def step_with_ensemble() -> None:
        follow(critic.module, target)
        for part in critics.values():
            follow(part["module"].module, part["target_module"])
        batch = {name: value.float() for name, value in data.items()}
        train(fabric, model, actor, critic, target, *optimisers, batch, metrics, config, **more)

    return step_with_ensemble


def _time_first(arrays: dict[str, np.ndarray], problem: "Problem") -> dict[str, np.ndarray]:
    """The batch as sheeprl takes it: [time, batch, ...], pictures with channels first, scalars with a last axis of one."""
    last = np.pad(arrays["is_first"][:, 1:], ((0, 0), (0, 1)))
    fields = {
        "rgb": arrays["image"].transpose(0, 1, 4, 2, 3),
        "actions": np.eye(problem.actions, dtype=np.float32)[arrays["action"]] if problem.discrete else arrays["action"],
        "rewards": arrays["reward"][..., None],
        "is_first": arrays["is_first"][..., None].astype(np.uint8),
        "terminated": arrays["is_terminal"][..., None].astype(np.uint8),
        "truncated": (last & ~arrays["is_terminal"])[..., None].astype(np.uint8),
    }
    return {name: np.ascontiguousarray(np.swapaxes(array, 0, 1)) for name, array in fields.items()}
