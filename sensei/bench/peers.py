"""Other implementations of DreamerV3, imported from a checkout that the user has, and made to do one update when told to.

`python sensei/bench/peers.py DIR` reads a pickled workload (`sensei.bench.workload`) from standard input, builds the implementation in
DIR and then does one update for every further line. It imports nothing of this package, because a peer needs an interpreter with
packages of its own. Known are NM512/dreamerv3-torch and Eclectic-Sheep/sheeprl, as their own training scripts call them.
"""

import json
import os
import pickle
import resource
import sys
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Step = Callable[[], Any]
Workload = dict[str, Any]
NEEDS = {
    "dreamerv3-torch": ("gym", "ruamel.yaml", "tensorboard"),
    "sheeprl": (
        "lightning",
        "hydra-core",
        "rich",
        "gymnasium==0.29.1",
        "torchmetrics",
        "moviepy<2",
        "opencv-python-headless",
        "python-dotenv",
    ),
}


def serve(build: Callable[[Workload], Step]) -> None:
    """Build what standard input describes, say so, then time one update for each line that follows."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the answers

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    workload = pickle.load(sys.stdin.buffer)
    torch.set_num_threads(workload["threads"])
    torch.manual_seed(0)
    try:
        step = build(workload)
    except ModuleNotFoundError as error:
        answer(error=f"the Python module {error.name} is missing")
        return
    answer(torch=torch.__version__)
    cuda = workload["device"] == "cuda"
    for _ in sys.stdin.buffer:
        begin, busy = time.perf_counter(), time.process_time()
        step()
        if cuda:
            torch.cuda.synchronize()
        wall, busy = time.perf_counter() - begin, time.process_time() - busy
        memory = torch.cuda.max_memory_allocated() / 2**20 if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        reserved = {"reserved_mb": torch.cuda.max_memory_reserved() / 2**20} if cuda else {}
        answer(milliseconds=1000 * wall, cpu_milliseconds=1000 * busy, peak_mb=memory, **reserved)


def kind(folder: str | Path) -> str | None:
    """Which implementation lies in `folder`: a key of `NEEDS`, None if it is none of them."""
    folder = Path(folder)
    if (folder / "sheeprl" / "algos" / "dreamer_v3").is_dir():
        return "sheeprl"
    if all((folder / name).is_file() for name in ("models.py", "networks.py", "exploration.py", "configs.yaml")):
        return "dreamerv3-torch"
    return None


def dreamerv3_torch(folder: str, workload: Workload) -> Step:
    """World model, task behaviour and, for plan2explore, ensemble and exploration behaviour, as its `Dreamer._train` does them."""
    import models
    import networks

    defaults = networks.MLP.__init__.__defaults__  # "cuda"; the ensemble is built without naming a device
    networks.MLP.__init__.__defaults__ = tuple(workload["device"] if value == "cuda" else value for value in defaults)
    config = _dreamerv3_torch_config(folder, workload)
    space = types.SimpleNamespace
    images = space(spaces={"image": space(shape=workload["image"].shape[2:])})
    model = models.WorldModel(images, space(n=workload["actions"]), 0, config).to(workload["device"])
    task = models.ImagBehavior(config, model).to(workload["device"])
    parts, explorer = [model, task], None
    if workload["method"] != "dreamerv3":
        import exploration

        explorer = exploration.Plan2Explore(config, model, lambda f, s, a: model.heads["reward"](f).mean()).to(workload["device"])
        parts.append(explorer)
    for part in parts:
        part.requires_grad_(False)  # it turns gradients on where it takes them
    data = {name: workload[name] for name in ("image", "reward")} | {"action": workload["model_action"]}
    data |= {name: workload[name].astype(np.float32) for name in ("is_first", "is_terminal")}

    def step() -> None:
        posterior, context, metrics = model._train(dict(data))
        more = task._train(posterior, lambda f, s, a: model.heads["reward"](model.dynamics.get_feat(s)).mode())[-1]
        losses = [metrics["model_loss"], more["actor_loss"]]  # its loop logs them, which waits for the device
        if explorer is not None:
            losses.append(explorer.train(posterior, context, data)[-1]["explorer_loss"])
        for loss in losses:
            float(loss)

    return step


def _dreamerv3_torch_config(folder: str, workload: Workload) -> types.SimpleNamespace:
    import ruamel.yaml

    with open(f"{folder}/configs.yaml", encoding="utf-8") as file:
        defaults = ruamel.yaml.YAML(typ="safe", pure=True).load(file)["defaults"]
    size, explores = workload["size"], workload["method"] != "dreamerv3"
    config = {key: _numbers(value) for key, value in defaults.items()} | {
        "device": workload["device"],
        "compile": workload["compile"] != "off",
        "precision": 16 if workload["precision"] == "bfloat16" else 32,
        "dyn_hidden": size["units"],
        "dyn_deter": size["deter"],
        "dyn_stoch": size["stoch"],
        "dyn_discrete": size["classes"],
        "units": size["units"],
        "batch_size": workload["batch"],
        "batch_length": workload["length"],
        "imag_horizon": workload["horizon"],
        "num_actions": workload["actions"],
        "disag_models": workload["members"],
        "disag_layers": size["layers"],
        "disag_units": size["units"],
        "disag_action_cond": True,
        "expl_behavior": "plan2explore" if explores else "greedy",
    }
    for name in ("encoder", "decoder"):
        config[name] = config[name] | {"cnn_depth": size["depth"]}
    for name in ("actor", "critic", "reward_head", "cont_head"):
        config[name] = config[name] | {"layers": size["layers"]}
    if workload["discrete"]:  # as its configurations with discrete actions
        config |= {"actor": config["actor"] | {"dist": "onehot", "std": "none"}, "imag_gradient": "reinforce"}
    return types.SimpleNamespace(**config)


def _numbers(value: Any) -> Any:
    """YAML reads 1e-4 as text; its training script makes numbers of them."""
    if isinstance(value, dict):
        return {key: _numbers(part) for key, part in value.items()}
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def sheeprl(folder: str, workload: Workload) -> Step:
    """`train` of dreamer_v3, or of p2e_dv3's exploration phase, with the update of the target critics that its main loop does before."""
    warnings.filterwarnings("ignore")
    import gymnasium
    import hydra
    import lightning.fabric.wrappers
    from lightning.fabric import Fabric
    from sheeprl.algos.dreamer_v3.utils import Moments

    config = _sheeprl_config(folder, workload)
    # Its ensemble calls `loss.backward()`, which this library refuses at mixed precision, though at bfloat16 nothing else would be done.
    lightning.fabric.wrappers._backward_hook = lambda *_: None
    torch.distributions.Distribution.set_default_validate_args(config.distribution.validate_args)  # as its cli does
    precision = "bf16-mixed" if workload["precision"] == "bfloat16" else "32-true"
    fabric = Fabric(accelerator="gpu" if workload["device"] == "cuda" else "cpu", devices=1, precision=precision)
    images = gymnasium.spaces.Dict({"rgb": gymnasium.spaces.Box(0, 255, (3, *workload["image"].shape[2:4]), np.uint8)})
    continuous, dimensions, options = not workload["discrete"], (workload["actions"],), config.algo
    data = _sheeprl_batch(workload, fabric.device)
    moments = options.actor.moments

    def optimiser(settings: Any, module: Any) -> Any:
        return fabric.setup_optimizers(hydra.utils.instantiate(settings, params=module.parameters(), _convert_="all"))

    def scale() -> Any:
        return Moments(moments.decay, moments.max, moments.percentile.low, moments.percentile.high)

    if workload["method"] == "dreamerv3":
        from sheeprl.algos.dreamer_v3.agent import build_agent
        from sheeprl.algos.dreamer_v3.dreamer_v3 import train

        model, actor, critic, target, _ = build_agent(fabric, dimensions, continuous, config, images)
        critics, last, further = {}, (continuous, dimensions, scale()), {}
    else:
        from sheeprl.algos.p2e_dv3.agent import build_agent
        from sheeprl.algos.p2e_dv3.p2e_dv3_exploration import train

        model, ensembles, actor, critic, target, explorer, critics, _ = build_agent(fabric, dimensions, continuous, config, images)
        for one in critics.values():
            one["optimizer"] = optimiser(options.critic.optimizer, one["module"])
        last = ()
        further = {
            "ensembles": ensembles,
            "ensemble_optimizer": optimiser(options.critic.optimizer, ensembles),
            "actor_exploration": explorer,
            "critics_exploration": critics,
            "actor_exploration_optimizer": optimiser(options.actor.optimizer, explorer),
            "moments_exploration": {name: scale() for name in critics},
            "moments_task": scale(),
            "is_continuous": continuous,
            "actions_dim": dimensions,
        }
    parts = {"world_model": model, "actor": actor, "critic": critic}
    networks = (*parts.values(), target, *(optimiser(options[name].optimizer, part) for name, part in parts.items()))
    targets = [(critic.module, target), *((one["module"].module, one["target_module"]) for one in critics.values())]

    class Losses:
        """In place of its aggregator of metrics: waits for each value as its logging does."""

        disabled = False

        def update(self, name: str, value: Any) -> None:
            float(value) if name.startswith("Loss/") else None

    def step() -> None:
        with torch.no_grad():
            for source, copy in targets:
                for parameter, moved in zip(source.parameters(), copy.parameters(), strict=True):
                    moved.data.copy_(options.critic.tau * parameter.data + (1 - options.critic.tau) * moved.data)
        batch = {name: values.float() for name, values in data.items()}
        train(fabric, *networks, batch, Losses(), config, *last, **further)

    return step


def _sheeprl_batch(workload: Workload, device: torch.device) -> dict[str, torch.Tensor]:
    """The workload's batch with time first, as its replay buffer hands it over."""
    arrays = {
        "rgb": workload["image"].transpose(0, 1, 4, 2, 3),
        "actions": workload["model_action"],
        "rewards": workload["reward"][..., None],
        "is_first": workload["is_first"][..., None].astype(np.uint8),
        "terminated": workload["is_terminal"][..., None].astype(np.uint8),
        "truncated": np.zeros_like(workload["is_terminal"][..., None], np.uint8),
    }
    return {name: torch.from_numpy(np.ascontiguousarray(array.swapaxes(0, 1))).to(device) for name, array in arrays.items()}


def _sheeprl_config(folder: str, workload: Workload) -> Any:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf
    from sheeprl.utils.utils import dotdict

    size, explores = workload["size"], workload["method"] != "dreamerv3"
    changes = {
        "exp": "p2e_dv3_exploration" if explores else "dreamer_v3",
        "env": "dummy",
        "env.num_envs": 1,
        "env.screen_size": 64,
        "metric.log_level": 0,
        "algo.per_rank_batch_size": workload["batch"],
        "algo.per_rank_sequence_length": workload["length"],
        "algo.horizon": workload["horizon"],
        "algo.dense_units": size["units"],
        "algo.mlp_layers": size["layers"],
        "algo.world_model.encoder.cnn_channels_multiplier": size["depth"],
        "algo.world_model.recurrent_model.recurrent_state_size": size["deter"],
        "algo.world_model.recurrent_model.dense_units": size["units"],
        "algo.world_model.transition_model.hidden_size": size["units"],
        "algo.world_model.representation_model.hidden_size": size["units"],
        "algo.world_model.stochastic_size": size["stoch"],
        "algo.world_model.discrete_size": size["classes"],
        "algo.cnn_keys.encoder": "[rgb]",
        "algo.mlp_keys.encoder": "[]",
    }
    if explores:
        names = {"n": workload["members"], "mlp_layers": size["layers"], "dense_units": size["units"]}
        changes |= {f"algo.ensembles.{name}": value for name, value in names.items()}
    os.environ.setdefault("SHEEPRL_SEARCH_PATH", "")
    with initialize_config_dir(config_dir=f"{folder}/sheeprl/configs", version_base="1.3"):
        everything = compose(config_name="config", overrides=[f"{key}={value}" for key, value in changes.items()])
    kept = {
        key: value
        for key, value in OmegaConf.to_container(everything, resolve=False).items()
        if key in ("algo", "distribution", "env", "seed")
    }
    config = OmegaConf.create(kept)
    config.env.id = "dummy"
    config.env.pop("wrapper", None)
    if OmegaConf.is_missing(config.algo, "total_steps"):
        config.algo.total_steps = 1
    return dotdict(OmegaConf.to_container(config, resolve=True))


def build(folder: str, workload: Workload) -> Step:
    """One update of the implementation in `folder`."""
    return {"dreamerv3-torch": dreamerv3_torch, "sheeprl": sheeprl}[kind(folder)](folder, workload)


if __name__ == "__main__":
    sys.path[0] = sys.argv[1]  # instead of this file's folder, whose names are not for the peer
    serve(lambda workload: build(sys.argv[1], workload))
