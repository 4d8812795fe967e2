"""What a world model knows: it learns from random play, or has learned in a run, and is judged on random play that it has not seen."""

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensei.bench.measure import Json, emit, machine
from sensei.core.files import atomic
from sensei.core.process import keep_memory, limit_threads
from sensei.core.progress import progress
from sensei.core.rng import generator, integer_seed, torch_generator
from sensei.study.layout import CONFIG_FOLDER

if TYPE_CHECKING:
    from sensei.study.models.study import Settings
    from sensei.world_model.foresight import Reader
    from sensei.world_model.model import Batch, WorldModel

WINDOW = 64  # steps of a row that a model is judged on
SHOWN, BEFORE = 8, 2  # pictures drawn, and how many steps before a flag turns on
COLUMNS = ("number", "there", "elsewhere", "other_action", "seen", "area", "imagined", "real")


def model(
    environment: Annotated[str, typer.Option("--env", help="a file of config/envs")] = "minihack_keyroom_s5",
    study: Annotated[Path, typer.Option(help="study file that the settings are taken from")] = CONFIG_FOLDER / "config.yaml",
    agent: Annotated[Path | None, typer.Option(help="a run, or its agent.pt: its model and settings are taken, nothing is learned")] = None,
    steps: Annotated[int, typer.Option(min=1000, help="random steps to learn from")] = 200_000,
    held_out: Annotated[int, typer.Option(min=1000, help="random steps to judge on, of other episodes")] = 20_000,
    updates: Annotated[int, typer.Option(min=1, help="updates of the world model, of nothing else")] = 7000,
    every: Annotated[int, typer.Option(min=1, help="updates between judgements")] = 1000,
    horizon: Annotated[int, typer.Option(min=1, max=WINDOW // 2, help="steps imagined")] = 15,
    seed: Annotated[int, typer.Option(min=0, help="fixes episodes, weights and batches")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 1,
    pictures: Annotated[Path | None, typer.Option(help="PNG: pictures before a flag turns on, above what the model makes of them")] = None,
    json: Json = None,
) -> None:
    """Does a world model know what comes, and where? JSON, and a table on the error stream.

    For each flag, the reward, the end of an episode and each event: its probability one prior step before it happens, before steps at which
    it does not, and with every other action; its probability once it has been seen; and in how many rollouts it is imagined and happened.
    """
    limit_threads(threads)
    keep_memory()
    from sensei.bench.studies import resolve

    about = {"bench": "model", "horizon": horizon, "seed": seed, "steps": steps, "held_out": held_out}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if agent is None:
            about |= {"environment": environment, "study": str(study)}
            settings = resolve(study, environment, "random", {}).settings[environment]
            judge = Judge(settings, (steps, held_out), horizon, seed, folder)
            known, judgements = _learned(judge, updates, every)
        else:
            from sensei.use.agents import load_agent

            loaded = load_agent(agent)
            about |= {"environment": loaded.settings.environment.level, "agent": loaded.source}
            judge = Judge(loaded.settings, (held_out, held_out), horizon, seed, folder)
            known = loaded.agent.world_model
            judgements = [judge(known)]
        if pictures is not None:
            judge.draw(known, pictures)
    emit({**about, "judgements": judgements, "machine": machine(threads)}, json)


class Judge:
    """Random play to learn from, and other random play on which models are judged.

    Args:
        steps: to learn from (probes learn from these, too) and to judge on.
        folder: where they are kept.
    """

    def __init__(self, settings: "Settings", steps: tuple[int, int], horizon: int, seed: int, folder: Path):
        from sensei.bench.random_play import random_play, windows

        self.settings, self.horizon, self.seed = settings, horizon, seed
        self.replay, self.spaces, self.events = random_play(settings, steps[0], seed, "learned", folder / "learned")
        held_out, _, _ = random_play(settings, steps[1], seed, "held out", folder / "held out")
        self.unseen = windows(held_out, WINDOW)
        self.known = self.replay.sample(len(self.unseen["image"]), WINDOW, generator(seed, "probes"))

    def batch(self, arrays: dict[str, Any]) -> "Batch":
        """Replayed arrays as the world model takes them."""
        import torch

        from sensei.agents.actor_critic import action_tensor
        from sensei.world_model.model import Batch

        tensors = {name: torch.from_numpy(arrays[name]) for name in Batch._fields}
        return Batch(**tensors | {"action": action_tensor(tensors["action"], self.spaces.actions, self.spaces.discrete)})

    def __call__(self, model: "WorldModel") -> dict[str, Any]:
        """Judge a model, and print the table."""
        from sensei.world_model.foresight import foresight

        happened = {name: self.unseen["events"][..., index] > 0 for index, name in enumerate(self.events)}
        events = {name: (happened[name], probe) for name, probe in self._probes(model).items()}
        randomness = torch_generator(self.seed, "judge")
        found = foresight(model, self.batch(self.unseen), self.spaces.discrete, self.horizon, randomness, events)
        _show(found, self.horizon)
        return found

    def _probes(self, model: "WorldModel") -> "dict[str, Reader]":
        """Of each event that random play has met, one that reads it off states."""
        import torch

        from sensei.world_model.foresight import features_of, probe

        with torch.no_grad():
            shape = (*self.known["is_first"].shape, model.size.stoch)
            observed = model.observe(self.batch(self.known), torch.rand(shape, generator=torch_generator(self.seed, "probes")))
            features = features_of(model, observed.deter, observed.index).flatten(0, 1)
        happened = {name: self.known["events"][..., index].ravel() > 0 for index, name in enumerate(self.events)}
        return {name: probe(features, rows) for name, rows in happened.items() if rows.any()}

    def draw(self, model: "WorldModel", path: Path) -> None:
        """Pictures shortly before flags turn on, above what the model makes of them."""
        import numpy as np
        import torch
        from PIL import Image

        from sensei.world_model.foresight import drawn, features_of, signs

        batch = self.batch(self.unseen)
        flags = [sign.happens & sign.may for sign in signs(model, batch, {}).values() if sign.by == "flags"]
        turned = np.logical_or.reduce(flags)[:, BEFORE:] if flags else self.unseen["reward"][:, BEFORE:] > 0
        rows, times = np.argwhere(turned)[:SHOWN].T
        with torch.no_grad():
            shape = (*batch.is_first.shape, model.size.stoch)
            observed = model.observe(batch, torch.rand(shape, generator=torch_generator(self.seed, "draw")))
            made = drawn(model, features_of(model, observed.deter[rows, times], observed.index[rows, times]))
        both = np.concatenate([np.concatenate(list(row), 1) for row in (self.unseen["image"][rows, times], made)])
        with atomic(path) as temporary:
            Image.fromarray(both).resize((both.shape[1] * 4, both.shape[0] * 4), Image.Resampling.NEAREST).save(temporary, "png")


def _learned(judge: Judge, updates: int, every: int) -> "tuple[WorldModel, list[dict[str, Any]]]":
    """A world model that learns as that of a task run does, from random play alone, and how it was judged on the way."""
    import torch

    from sensei.agents.optimiser import Optimiser
    from sensei.agents.update import kernels
    from sensei.kernels.measure import decide
    from sensei.world_model.model import WorldModel

    config, training, spaces = judge.settings.world_model, judge.settings.training, judge.spaces
    if training.compile != "off":
        decide()
    torch.manual_seed(integer_seed(judge.seed, "initialisation"))
    model = WorldModel(config, spaces.flags, spaces.actions, reward_gradient=True)
    optimiser = Optimiser(model.parameters(), config.learning_rate, config.epsilon, config.clip, apart=[model.reward_heads["semantic"]])
    batches, randomness = generator(judge.seed, "batches"), torch_generator(judge.seed, "observe")
    shape, judgements, busy = (training.batch_size, training.batch_length), [], 0.0
    with progress(updates, "world model", "update") as bar, kernels(training.compile):
        for update in range(1, updates + 1):
            begin = time.process_time()
            batch = judge.batch(judge.replay.sample(*shape, batches))
            observed = model.observe(batch, torch.rand((*shape, model.size.stoch), generator=randomness))
            optimiser.step(sum(model.losses(batch, observed).values()).mean())
            busy += time.process_time() - begin
            bar.update()
            if update % every == 0 or update == updates:
                judgements.append({"updates": update, "processor_seconds": busy, **judge(model)})
    return model, judgements


def _show(found: dict[str, Any], horizon: int) -> None:
    """Print a judgement as a table on the error stream, so that the JSON can be piped."""
    from rich.console import Console
    from rich.table import Table

    title = f"one step ahead, and in rollouts of {horizon}; picture error {found['reconstruction']:.5f}, KL {found['kl']:.2f} nats"
    table = Table(title=title)
    for name in ("what", "read by", *COLUMNS):
        table.add_column(name.replace("_", " "), justify="left" if name in ("what", "read by") else "right")
    for name, sign in found["signs"].items():
        values = [sign.get(column) for column in COLUMNS]
        table.add_row(name, sign["by"], *("" if value is None else f"{value:.3g}" for value in values))
    errors = found["pictures"]
    console = Console(file=sys.stderr, width=130)
    console.print(table)
    for name, curve in errors.items():
        console.print(f"error of pictures, {name}: " + ", ".join("-" if value is None else f"{value:.4f}" for value in curve))
