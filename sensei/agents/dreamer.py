"""The world-model agent: one world model, a task behaviour, and in exploration an exploration behaviour with its reward sources."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from sensei.agents.actor_critic import Behaviour, Rewards, action_tensor, imagine_all
from sensei.agents.contract import Agent, Phase, Rows
from sensei.agents.optimiser import Optimiser
from sensei.agents.update import HERE, Side, Update, compile_methods, kernels
from sensei.core.errors import SenseiError
from sensei.core.rng import integer_seed, torch_generator
from sensei.envs.step import Has, fields
from sensei.exploration.extrinsic import Extrinsic
from sensei.exploration.sources import Made, Rollout, make_source
from sensei.exploration.switch import Switch
from sensei.kernels.choice import frozen
from sensei.kernels.measure import decide
from sensei.replay.step import Spaces
from sensei.study.models.exploration import ExplorationConfig, Method
from sensei.study.models.study import Settings
from sensei.world_model.model import Batch, WorldModel
from sensei.world_model.rssm import Observed, State

TASK_HEADS = "world_model.task_heads."
METRICS = {"task": "task", "exploration": "explore"}  # behaviours by the names they have in metrics
SIDES = "sources", "task", "task critic", "exploration critic"  # parts of an update that a graphics card works on beside the rest
TASK_WEIGHTS = ExplorationConfig(go={"extrinsic": 1}, explore={"extrinsic": 1})


class PolicyState(NamedTuple):
    """Recurrent state of acting: model state [workers, ...] and the action before, float [workers, actions]."""

    model: State
    action: torch.Tensor


class DreamerAgent(nn.Module, Agent):
    """DreamerV3 (Hafner et al. 2023, arXiv 2301.04104) with Plan2Explore (Sekar et al. 2020, arXiv 2005.05960) and SENSEI's exploration.

    In phase `explore` it acts with the exploration behaviour and keeps reward gradients out of the features; in phase `learn` it acts with
    the task behaviour, lets them in, and has neither an exploration behaviour nor heads for other tasks.
    """

    takes_sources = True
    seconds_per_update = 0.5

    def __init__(
        self, spaces: Spaces, settings: Settings, method: Method, weights: ExplorationConfig, phase: Phase, seed: int, device: str = "cpu"
    ):
        super().__init__()
        self.spaces, self.settings, self.method, self.phase, self.device = spaces, settings, method, phase, torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer_seed(seed, "agent", "initialisation"))
            self._make_parts(weights)
        self.to(self.device)
        self.generators = {name: torch_generator(seed, "agent", name, device=self.device) for name in ("observe", "imagine", "act")}
        self.optimisers = self._optimisers()
        compile = settings.training.compile
        if compile != "off" and self.device.type == "cpu":
            decide()
        if compile == "full":
            self.compile_parts()
        captures = compile != "off" and self.device.type == "cuda"
        self.updates, self.actor_delay = 0, settings.behaviour.actor_delay
        self.sides = {name: Side(torch.cuda.Stream(self.device) if captures else None) for name in SIDES}
        self.one_update = Update(self.learn, self.generators, ("observe", "imagine"), self.optimisers.values(), captures)

    def _make_parts(self, weights: ExplorationConfig) -> None:
        config, spaces, method, exploring = self.settings.world_model, self.spaces, self.method, self.phase == "explore"
        tasks = spaces.tasks if exploring else 0
        self.world_model = WorldModel(config, spaces.flags, spaces.actions, reward_gradient=not exploring, tasks=tasks)
        self.task = self._behaviour(["extrinsic"], "none", TASK_WEIGHTS)
        self.exploration = self._behaviour(method.sources, method.gate, weights) if exploring else None
        self.behaviours = ("explore", "task") if exploring else ("task",)
        self.acts_as = self.behaviours[0]
        self.sources = nn.ModuleDict({"extrinsic": Extrinsic(Made(self.world_model, spaces, self.settings, method, Extrinsic.Options()))})
        for name in method.sources if exploring else ():
            if name != "extrinsic":
                self.sources[_key(name)] = make_source(name, self.world_model, spaces, self.settings, method)

    def _behaviour(self, sources: list[str], gate: str, weights: ExplorationConfig) -> Behaviour:
        spaces, config = self.spaces, self.settings.behaviour
        mix = self.settings.world_model.uniform_mix if config.actor_uniform_mix is None else config.actor_uniform_mix
        switch = Switch(gate, weights, sources, config.normaliser_decay)
        return Behaviour(self.world_model.size, spaces.actions, spaces.discrete, mix, sources, switch, config)

    def _optimisers(self) -> dict[str, Optimiser]:
        """All that move parameters, by the names they have in a checkpoint."""
        config, heads, tasks = self.settings.world_model, self.world_model.reward_heads, self.world_model.task_heads
        # Heads that only read the features are clipped apart: not even by a common gradient norm may a reward shape the model.
        readers = [heads["semantic"]] if self.world_model.reward_gradient else [heads["extrinsic"], heads["semantic"]]
        readers += [tasks] if tasks is not None else []
        rates = config.learning_rate, config.epsilon, config.clip
        optimisers = {"world_model": Optimiser(self.world_model.parameters(), *rates, apart=readers)}
        for name, source in self.sources.items():
            if source.rates is not None:
                rates = source.rates.learning_rate, source.rates.epsilon, source.rates.clip
                optimisers[f"sources.{name}"] = Optimiser(filter(lambda parameter: parameter.requires_grad, source.parameters()), *rates)
        for name, behaviour in self._behaviours().items():
            optimisers |= {f"{name}.{key}": optimiser for key, optimiser in behaviour.optimisers.items()}
        return optimisers

    def _behaviours(self) -> dict[str, Behaviour]:
        return {"task": self.task} | ({"exploration": self.exploration} if self.exploration is not None else {})

    def compile_parts(self) -> None:
        """Have the functions that an update consists of compiled."""
        compile_methods(self.world_model, "losses")
        compile_methods(self.world_model.rssm, "step", "posterior_step", "imagine_step")
        compile_methods(self, "rewards")

    # Acting ---------------------------------------------------------------------------------------------------------

    def initial_policy_state(self, workers: int) -> PolicyState:
        """State before the first observation; `is_first` makes the model forget it."""
        size = self.world_model.size
        deter = torch.zeros(workers, size.deter, device=self.device)
        index = torch.zeros(workers, size.stoch, dtype=torch.int64, device=self.device)
        return PolicyState(State(deter, index), torch.zeros(workers, self.spaces.actions, device=self.device))

    def act_as(self, behaviour: str) -> None:
        """Choose between the exploration behaviour and the task behaviour that has learned beside it."""
        super().act_as(behaviour)
        self.acts_as = behaviour

    @torch.no_grad()
    def policy(self, rows: Rows, state: PolicyState, generator: torch.Generator | None = None) -> tuple[np.ndarray, PolicyState]:
        """Act by sampling, with the exploration behaviour while exploring and with the task behaviour else."""
        generator = generator or self.generators["act"]
        shown = {name: torch.from_numpy(rows[name]).to(self.device) for name in fields(Has.POLICY)}
        actor = (self.task if self.acts_as == "task" else self.exploration).actor
        uniform = torch.rand(state.model.index.shape, generator=generator, device=self.device)
        with kernels(self.settings.training.compile):
            model = self.world_model.observe_step(state.model, state.action, **shown, uniform=uniform)
            action = actor.sample(model.deter, model.index, actor.noise((len(uniform),), generator))
        chosen = action.argmax(-1) if self.spaces.discrete else action.clamp(-1, 1)
        return chosen.cpu().numpy(), PolicyState(model, action)

    # Learning -------------------------------------------------------------------------------------------------------

    def update(self, batch: Rows) -> dict[str, torch.Tensor]:
        """One update of everything on a replay batch; returns scalars to log (0-d tensors).

        Args:
            batch: [batch, time, ...] per field of `Batch`; `action` as the environment takes it.
        """
        with_task = self.exploration is None or self.updates % self.settings.behaviour.task_every == 0
        actors_move = self.updates >= self.actor_delay
        self.updates += 1
        with kernels(self.settings.training.compile):
            return self.one_update(self.batch(batch), with_task, actors_move)

    def batch(self, arrays: Rows) -> Batch:
        """Replayed arrays as the world model takes them, on the device."""
        tensors = {name: torch.from_numpy(arrays[name]).to(self.device, non_blocking=True) for name in Batch._fields}
        tensors["action"] = action_tensor(tensors["action"], self.spaces.actions, self.spaces.discrete)
        return Batch(**tensors)

    def learn(self, batch: Batch, with_task: bool = True, actors_move: bool = True) -> dict[str, torch.Tensor]:
        """The update itself, in static shapes, without a branch on data and without waiting for the device.

        Args:
            with_task: whether the task behaviour learns too.
            actors_move: whether actors learn as well as critics.
        """
        shape = (*batch.is_first.shape, self.world_model.size.stoch)
        uniform = torch.rand(shape, generator=self.generators["observe"], device=self.device)
        with self.autocast():
            observed = self.world_model.observe(batch, uniform)
            losses = self.world_model.losses(batch, observed)
            total = sum(losses.values()).mean()
        metrics = {f"loss/{name}": loss.detach().mean() for name, loss in losses.items()}
        metrics["model/gradient"] = self.optimisers["world_model"].step(total)
        metrics |= {f"model/{name}": value for name, value in self.world_model.diagnostics(observed).items()}
        if self.spaces.flags:
            metrics["model/flags_gained"] = batch.flags_gained()
        observed = Observed(*(part.detach() for part in observed))
        with self.sides["sources"].work():
            learned = self._learn_sources(batch, observed)
        start = State(observed.deter.flatten(0, 1), observed.index.flatten(0, 1))
        behaviours = {name: behaviour for name, behaviour in self._behaviours().items() if with_task or name != "task"}
        metrics |= learned | self._learn_behaviours(behaviours, start, 1 - batch.is_terminal.flatten().float(), actors_move)
        self.sides["sources"].join()
        return metrics

    def _learn_sources(self, batch: Batch, observed: Observed) -> dict[str, torch.Tensor]:
        metrics = {}
        for name, source in self.sources.items():
            with self.autocast():
                losses = source.losses(batch, observed)
            if losses:
                self.optimisers[f"sources.{name}"].step(sum(losses.values()))
                metrics |= {f"loss/{key}": loss.detach() for key, loss in losses.items()}
        return metrics

    def _learn_behaviours(
        self, behaviours: dict[str, Behaviour], start: State, continuation: torch.Tensor, actors_move: bool
    ) -> dict[str, torch.Tensor]:
        """One step of each in imagination from states whose episodes go on with probability `continuation`, float [rows]."""
        rssm, generator = self.world_model.rssm, self.generators["imagine"]
        starts, continuations, randomness = [], [], []
        for behaviour in behaviours.values():
            chosen = self._chosen(len(continuation))
            starts.append(State(*(part[chosen] for part in start)))
            continuations.append(continuation[chosen])
            randomness.append(behaviour.randomness(rssm, len(continuations[-1]), generator))
        with self.autocast():
            rollouts = imagine_all(rssm, list(behaviours.values()), starts, randomness)
        metrics = {}
        for name, rollout, continues in zip(behaviours, rollouts, continuations, strict=True):
            with self.sides.get(name, HERE).work():
                metrics |= self._learn_behaviour(name, behaviours[name], rollout, continues, actors_move)
        for name in behaviours:
            self.sides.get(name, HERE).join()
        return metrics

    def _chosen(self, states: int) -> slice | torch.Tensor:
        """Which states a behaviour imagines from."""
        starts = self.settings.behaviour.starts
        if starts is None or starts >= states:
            return slice(None)
        return torch.randperm(states, generator=self.generators["imagine"], device=self.device)[:starts]

    def _learn_behaviour(
        self, name: str, behaviour: Behaviour, imagine: Callable[[], Rollout], continuation: torch.Tensor, moves: bool
    ) -> dict[str, torch.Tensor]:
        with self.autocast():
            rollout = imagine()
            if any(self.sources[_key(source)].rates is not None for source in behaviour.sources):
                self.sides["sources"].join()
            with torch.set_grad_enabled(not self.spaces.discrete), frozen():
                rewards = self.rewards(behaviour, rollout, continuation)
            gained = self._gained(rollout)
        with self.autocast():  # anew: weights that were converted without gradient must not be used where there is one
            learned = gained | behaviour.update(rollout, rewards, self.sides[f"{name} critic"], moves)
        return {f"{METRICS[name]}/{key}": value for key, value in learned.items()}

    @torch.no_grad()
    def _gained(self, rollout: Rollout) -> dict[str, torch.Tensor]:
        """How many flags a step of imagination gains. Beside `model/flags_gained`, which is what steps of the replay gain, it says whether
        imagination is wishful: it may have keys wherever it looks that nobody has found."""
        if not self.spaces.flags:
            return {}
        begin, end = (self.world_model.predict_flags(rollout.deter[t], rollout.stoch[t]) for t in (0, -1))
        return {"flags_gained": (end - begin).clamp(min=0).sum(-1).mean() / len(rollout.action)}

    def rewards(self, behaviour: Behaviour, rollout: Rollout, continuation: torch.Tensor) -> Rewards:
        """Predicted rewards of a rollout from states whose episodes go on with probability `continuation`, float [rows]."""
        sources, semantic = [], None
        for name in behaviour.sources:
            source = self.sources[_key(name)]
            of_states = source.state_reward(rollout)
            sources.append(source.reward(rollout) if of_states is None else of_states[1:])
            if name == "semantic":
                semantic = of_states[:-1]
        predicted = self.world_model.predict_continue(*rollout.later).view(rollout.action.shape[:2])
        return Rewards(torch.stack(sources), semantic, torch.cat([continuation.unsqueeze(0), predicted]))

    def autocast(self) -> torch.autocast:
        """Precision of world model, sources and imagination."""
        enabled = self.device.type == "cuda" and self.settings.training.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    # Checkpoints ----------------------------------------------------------------------------------------------------

    def checkpoint(self) -> dict[str, Any]:
        """Weights, optimisers, normalisers and random streams; all that `restore` needs."""
        return {
            "spaces": tuple(self.spaces),
            "phase": self.phase,
            "weights": self.state_dict(),
            "optimisers": {name: optimiser.adam.state_dict() for name, optimiser in self.optimisers.items()},
            "updates": self.updates,
            "actor_delay": self.actor_delay,
            "generators": {name: generator.get_state() for name, generator in self.generators.items()},
        }

    @staticmethod
    def to_act(checkpoint: dict[str, Any]) -> dict[str, Any]:
        """All but the optimisers, which are two thirds of it."""
        return {name: part for name, part in checkpoint.items() if name != "optimisers"}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Continue exactly where `checkpoint` was taken."""
        self.load_state_dict(checkpoint["weights"])
        self.one_update.forget()
        # Which checkpoints of earlier versions do not have, nor need.
        self.updates, self.actor_delay = checkpoint.get("updates", 0), checkpoint.get("actor_delay", 0)
        for name, state in checkpoint.get("optimisers", {}).items():  # none in one that was packed to be played
            self.optimisers[name].adam.load_state_dict(state)
        for name, generator in self.generators.items():
            generator.set_state(checkpoint["generators"][name].cpu())

    def start_from(self, explored: dict[str, Any], task: int | None = None) -> None:
        """Begin a task with an explored agent: world model and, if `training.explored_behaviour` is keep, the task behaviour; each
        with its optimiser and normalisers.

        Args:
            explored: the `checkpoint` of an exploration run.
            task: None for the task whose reward the exploration paid. Else the number of another one: its reward head becomes the
                extrinsic one, and its behaviour begins fresh.

        Raises:
            SenseiError: the explored agent was trained in an environment with other spaces.
        """
        if tuple(explored["spaces"]) != tuple(self.spaces):
            raise SenseiError(
                "the explored agent belongs to another environment",
                found=f"(flags, actions, discrete, tasks) {explored['spaces']}",
                expected=tuple(self.spaces),
            )
        if "optimisers" not in explored:
            raise SenseiError(
                "the explored agent was packed to be played, without its optimisers", hint="name the agent.pt of the run itself"
            )
        self.one_update.forget()
        keep = self.settings.training.explored_behaviour == "keep" and task is None
        parts = ("world_model", "task") if keep else ("world_model",)
        self.actor_delay = 0 if keep else self.actor_delay
        own = self.state_dict()
        weights = {key: value for key, value in explored["weights"].items() if key.split(".")[0] in parts and key in own}
        self.load_state_dict({**own, **weights})
        for name, optimiser in self.optimisers.items():
            if name.split(".")[0] in parts:
                optimiser.take_over(explored["optimisers"][name])
        if task is not None:
            heads = {key.removeprefix(TASK_HEADS): value for key, value in explored["weights"].items() if key.startswith(TASK_HEADS)}
            head = self.world_model.reward_heads["extrinsic"]
            head.load_head(heads, task)
            self.optimisers["world_model"].forget(head.parameters())


def _key(source: str) -> str:
    """A source's name as that of a module, which may hold no dot."""
    return source.replace(".", "/")
