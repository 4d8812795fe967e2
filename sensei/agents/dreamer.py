"""The world-model agent: one world model, a task behaviour, and in exploration an exploration behaviour with its ensemble."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from sensei.agents.actor_critic import Behaviour, Rewards, Rollout, action_tensor, dream
from sensei.agents.learning import Learning
from sensei.agents.optimiser import Optimiser
from sensei.config import ExplorationConfig, Method, Settings, Weights
from sensei.errors import SenseiError
from sensei.exploration.disagreement import Ensemble
from sensei.exploration.switch import Switch
from sensei.rng import integer_seed, torch_generator
from sensei.world_model import kernels
from sensei.world_model.model import Batch, WorldModel
from sensei.world_model.products import frozen
from sensei.world_model.rssm import Observed, State

Phase = Literal["explore", "task"]
TASK_HEADS = "world_model.task_heads."
TASK_WEIGHTS = ExplorationConfig(go=Weights(extrinsic=1), explore=Weights(extrinsic=1))


class Spaces(NamedTuple):
    """What the agent has to know of an environment: number of flags, number of actions, whether they are discrete, number of tasks."""

    flags: int
    actions: int
    discrete: bool
    tasks: int = 0


class PolicyState(NamedTuple):
    """Recurrent state of acting: model state [workers, ...] and the action before, float [workers, actions]."""

    model: State
    action: torch.Tensor


class DreamerAgent(nn.Module):
    """DreamerV3 with Plan2Explore and SENSEI's exploration.

    Args:
        phase: `explore` acts with the exploration behaviour and keeps reward gradients out of the features; `task` acts
            with the task behaviour, lets them in, and has neither ensemble nor heads for other tasks (paper sections 3 and 4).
        weights: percentile and weights of the exploration behaviour.
        seed: fixes initialisation, imagination and acting.
    """

    def __init__(
        self, spaces: Spaces, settings: Settings, method: Method, weights: ExplorationConfig, phase: Phase, seed: int, device: str = "cpu"
    ):
        super().__init__()
        self.spaces, self.settings, self.method, self.phase, self.device = spaces, settings, method, phase, torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer_seed(seed, "agent", "initialisation"))
            config = settings.world_model
            exploring = phase == "explore"
            tasks = spaces.tasks if exploring else 0
            self.world_model = WorldModel(config, spaces.flags, spaces.actions, reward_gradient=not exploring, tasks=tasks)
            self.task = self._behaviour(["extrinsic"], Switch("none", TASK_WEIGHTS, ["extrinsic"], 0.99))
            switch = Switch(method.gate, weights, method.sources, settings.behaviour.normaliser_decay)
            self.exploration = self._behaviour(method.sources, switch) if exploring else None
            needs_ensemble = exploring and "disagreement" in method.sources
            self.ensemble = Ensemble(self.world_model.size, spaces.actions, settings.ensemble.members) if needs_ensemble else None
        self.to(self.device)
        self.generators = {name: torch_generator(seed, "agent", name, device=self.device) for name in ("observe", "imagine", "act")}
        # Heads that only read the features are clipped apart: not even by a common gradient norm may a reward shape the model.
        readers = [self.world_model.reward_heads[name] for name in (("extrinsic", "semantic") if exploring else ("semantic",))]
        readers += [self.world_model.task_heads] if tasks else []
        self.optimiser = Optimiser(self.world_model.parameters(), config.learning_rate, config.epsilon, config.clip, apart=readers)
        ensemble = settings.ensemble
        self.ensemble_optimiser = (
            Optimiser(self.ensemble.parameters(), ensemble.learning_rate, ensemble.epsilon, ensemble.clip) if self.ensemble else None
        )
        self.learning = Learning(self, settings.training.compile)

    def _behaviour(self, sources: list, switch: Switch) -> Behaviour:
        spaces, config = self.spaces, self.settings
        mix = config.world_model.uniform_mix
        return Behaviour(self.world_model.size, spaces.actions, spaces.discrete, mix, sources, switch, config.behaviour)

    # Acting ---------------------------------------------------------------------------------------------------------

    def initial_policy_state(self, workers: int) -> PolicyState:
        """State before the first observation; `is_first` makes the model forget it."""
        size = self.world_model.size
        deter = torch.zeros(workers, size.deter, device=self.device)
        index = torch.zeros(workers, size.stoch, dtype=torch.int64, device=self.device)
        return PolicyState(State(deter, index), torch.zeros(workers, self.spaces.actions, device=self.device))

    @torch.no_grad()
    def policy(
        self, rows: dict[str, np.ndarray], state: PolicyState, behaviour: Phase | None = None, generator: torch.Generator | None = None
    ) -> tuple[np.ndarray, PolicyState]:
        """Act by sampling.

        Args:
            rows: `image` uint8 [workers, H, W, 3], `flags` float32 [workers, flags], `is_first` bool [workers].
            state: what the call before returned.
            behaviour: which behaviour acts; by default that of the phase.
            generator: randomness; by default the agent's own acting stream.

        Returns:
            int64 [workers] (discrete) or float32 [workers, actions], and the next state.
        """
        generator = generator or self.generators["act"]
        image, flags, is_first = (torch.from_numpy(rows[key]).to(self.device) for key in ("image", "flags", "is_first"))
        actor = (self.exploration if (behaviour or self.phase) == "explore" else self.task).actor
        uniform = torch.rand(state.model.index.shape, generator=generator, device=self.device)
        with self.learning.kernels():
            model = self.world_model.observe_step(state.model, state.action, image, flags, is_first, uniform)
            action = actor.sample(model.deter, model.index, actor.noise((len(image),), generator))
        chosen = action.argmax(-1) if self.spaces.discrete else action.clamp(-1, 1)
        return chosen.cpu().numpy(), PolicyState(model, action)

    # Learning -------------------------------------------------------------------------------------------------------

    def update(self, arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
        """One update of everything on a replay batch; returns scalars to log (0-d tensors).

        Args:
            arrays: [batch, time, ...] per field of `Batch`; `action` as the environment takes it.
        """
        with self.learning.kernels():
            return self.learning(self._batch(arrays))

    def learn(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The update itself, in static shapes, without a branch on data and without waiting for the device."""
        shape = (*batch.is_first.shape, self.world_model.size.stoch)
        uniform = torch.rand(shape, generator=self.generators["observe"], device=self.device)
        with self._autocast():
            observed = self.world_model.observe(batch, uniform)
            losses = self.world_model.losses(batch, observed)
            total = sum(losses.values()).mean()
        metrics = {f"loss/{name}": loss.detach().mean() for name, loss in losses.items()}
        known = Observed(*(part.detach() for part in observed))
        with self.learning.sides["ensemble"].work():
            diagnostics = {f"model/{name}": value for name, value in self.world_model.diagnostics(known).items()}
            ensemble = {} if self.ensemble is None else {"loss/ensemble": self._update_ensemble(batch, known)}
        metrics |= {"model/gradient": self.optimiser.step(total), **diagnostics, **ensemble}
        start = State(known.deter.flatten(0, 1), known.index.flatten(0, 1))
        learned = self._update_behaviours(start, 1 - batch.is_terminal.flatten().float())
        self.learning.sides["ensemble"].join()
        return metrics | {f"{name}/{key}": value for name, values in learned.items() for key, value in values.items()}

    def _update_behaviours(self, start: State, alive: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
        """Scalars to log of each behaviour; on a card they dream together and then learn side by side."""
        behaviours = [behaviour for behaviour in (self.task, self.exploration) if behaviour is not None]
        rssm, generator = self.world_model.rssm, self.generators["imagine"]
        starts, alives, randomness = [], [], []
        for behaviour in behaviours:
            chosen = self._starts(len(alive))
            starts.append(start if chosen is None else State(start.deter[chosen], start.index[chosen]))
            alives.append(alive if chosen is None else alive[chosen])
            randomness.append(behaviour.randomness(rssm, len(alives[-1]), generator))
        if kernels.card(start.deter):
            with self._autocast():
                rollouts = dream(rssm, behaviours, starts, randomness)
        else:
            given = zip(behaviours, starts, randomness, strict=True)
            rollouts = [partial(behaviour.follow, rssm, chosen, *random) for behaviour, chosen, random in given]
        with self.learning.sides["task"].work():
            learned = {"task": self._update_behaviour("task", rollouts[0], alives[0])}
        if self.exploration is not None:
            learned["explore"] = self._update_behaviour("explore", rollouts[1], alives[1])
        self.learning.sides["task"].join()
        return learned

    def _starts(self, states: int) -> torch.Tensor | None:
        """Which states a behaviour imagines from, None for all."""
        starts = self.settings.behaviour.starts
        if starts is None or starts >= states:
            return None
        return torch.randperm(states, generator=self.generators["imagine"], device=self.device)[:starts]

    def _update_behaviour(self, name: Phase, imagine: Callable[[], Rollout], alive: torch.Tensor) -> dict[str, torch.Tensor]:
        behaviour = self.task if name == "task" else self.exploration
        with self._autocast():
            rollout = imagine()
            if "disagreement" in behaviour.sources:
                self.learning.sides["ensemble"].join()
            with torch.set_grad_enabled(not self.spaces.discrete), frozen():
                rewards = self._rewards(behaviour, rollout, alive)
        with self._autocast():  # anew: weights that were converted without gradient must not be used where there is one
            return behaviour.update(rollout, rewards, self.learning.sides[f"{name} critic"])

    def _rewards(self, behaviour: Behaviour, rollout: Rollout, alive: torch.Tensor) -> Rewards:
        """Predicted rewards of a rollout: those of a step at the next state, disagreement of the step itself."""
        steps, rows = rollout.deter.shape[:2]
        everything = rollout.deter.flatten(0, 1), rollout.stoch.flatten(0, 1)
        later = tuple(part[rows:] for part in everything)
        earlier = tuple(part[:-rows] for part in everything)
        semantic = None
        if "semantic" in behaviour.sources:
            semantic = self.world_model.predict_reward("semantic", *everything).view(steps, rows)
        sources = []
        for source in behaviour.sources:
            if source == "semantic":
                sources.append(semantic[1:])
            elif source == "disagreement":
                if rollout.joint is None:
                    step = *earlier, rollout.action.flatten(0, 1)
                else:
                    step = rollout.joint[:-1].flatten(0, 1), earlier[1], None
                reward = self.ensemble.disagreement(*step, self.method.disagreement)
                sources.append(reward.view(steps - 1, rows))
            else:
                sources.append(self.world_model.predict_reward("extrinsic", *later).view(steps - 1, rows))
        predicted = self.world_model.predict_continue(*later).view(steps - 1, rows)
        return Rewards(torch.stack(sources), None if semantic is None else semantic[:-1], torch.cat([alive.unsqueeze(0), predicted]))

    def _update_ensemble(self, batch: Batch, observed: Observed) -> torch.Tensor:
        """Steps whose successor starts another episode teach nothing about dynamics; they get no weight."""
        earlier = (part[:, :-1].flatten(0, 1) for part in (observed.deter, observed.index, batch.action))
        follows = (~batch.is_first[:, 1:]).flatten().float()
        with self._autocast():
            loss = self.ensemble.loss(*earlier, observed.stoch[:, 1:].flatten(0, 1), follows)
        self.ensemble_optimiser.step(loss)
        return loss.detach()

    def _batch(self, arrays: dict[str, np.ndarray]) -> Batch:
        tensors = {name: torch.from_numpy(arrays[name]).to(self.device, non_blocking=True) for name in Batch._fields}
        tensors["action"] = action_tensor(tensors["action"], self.spaces.actions, self.spaces.discrete)
        return Batch(**tensors)

    def _autocast(self) -> torch.autocast:
        enabled = self.device.type == "cuda" and self.settings.training.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    # Checkpoints ----------------------------------------------------------------------------------------------------

    def optimisers(self) -> dict[str, Optimiser]:
        """All that move parameters, by the names they have in a checkpoint."""
        named = {"world_model": self.optimiser, "ensemble": self.ensemble_optimiser}
        for name, behaviour in (("task", self.task), ("exploration", self.exploration)):
            if behaviour is not None:
                named |= {f"{name}.{key}": optimiser for key, optimiser in behaviour.optimisers.items()}
        return {name: optimiser for name, optimiser in named.items() if optimiser is not None}

    def checkpoint(self) -> dict[str, Any]:
        """Weights, optimisers, normalisers and random streams; all that `restore` needs."""
        return {
            "spaces": tuple(self.spaces),
            "phase": self.phase,
            "weights": self.state_dict(),
            "optimisers": {name: optimiser.adam.state_dict() for name, optimiser in self.optimisers().items()},
            "generators": {name: generator.get_state() for name, generator in self.generators.items()},
        }

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Continue exactly where `checkpoint` was taken."""
        self.load_state_dict(checkpoint["weights"])
        self.learning.forget()
        for name, optimiser in self.optimisers().items():
            optimiser.adam.load_state_dict(checkpoint["optimisers"][name])
        for name, generator in self.generators.items():
            generator.set_state(checkpoint["generators"][name].cpu())

    def start_from(self, explored: dict[str, Any], task: int | None = None) -> None:
        """Begin a task with an explored agent: world model and, if `downstream.behaviour` is keep, the task behaviour; each
        with its optimiser and normalisers (paper section 10).

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
                found=f"(flags, actions, discrete) {explored['spaces']}",
                expected=tuple(self.spaces),
            )
        self.learning.forget()
        keep = self.settings.downstream.behaviour == "keep" and task is None
        parts = ("world_model", "task") if keep else ("world_model",)
        own = self.state_dict()
        weights = {key: value for key, value in explored["weights"].items() if key.split(".")[0] in parts and key in own}
        self.load_state_dict({**own, **weights})
        for name, optimiser in self.optimisers().items():
            if name.split(".")[0] in parts:
                self._take_over(optimiser, explored["optimisers"][name])
        if task is not None:
            heads = {key.removeprefix(TASK_HEADS): value for key, value in explored["weights"].items() if key.startswith(TASK_HEADS)}
            head = self.world_model.reward_heads["extrinsic"]
            head.load_head(heads, task)
            for parameter in head.parameters():
                self.optimiser.adam.state.pop(parameter, None)

    @staticmethod
    def _take_over(optimiser: Optimiser, explored: dict[str, Any]) -> None:
        """Load the state of an optimiser; what it held of the heads of other tasks, whose parameters come last, is left out."""
        group = explored["param_groups"][0]
        known = group["params"][: len(optimiser.parameters)]
        state = {index: explored["state"][index] for index in known if index in explored["state"]}
        optimiser.adam.load_state_dict({"state": state, "param_groups": [{**group, "params": known}]})
