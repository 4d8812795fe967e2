"""A trained agent from its files. What it was trained with stands in them; nothing in them is carried out."""

import contextlib
import importlib
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from gymnasium import Space
from torch import serialization

from sensei.agents.contract import Agent
from sensei.core.errors import SenseiError, shortened
from sensei.core.messages import validate
from sensei.core.plugins import find
from sensei.core.rng import global_streams_kept
from sensei.envs.contract import Environment
from sensei.envs.registry import make
from sensei.replay.step import Spaces
from sensei.study.layout import RunFiles
from sensei.study.models.exploration import AGENTS, ExplorationConfig, Method
from sensei.study.models.study import Settings
from sensei.training import checkpoint

NAME = RunFiles(Path()).agent.name
MOST_PACKED = 100  # times that an agent is larger than the archive it is in: numbers hardly shrink, zeros a thousandfold
TORN = EOFError, zlib.error, lzma.LZMAError  # what reading a compressed file can raise
# What the state of a run under way holds beside plain values; none of it carries anything out.
DTYPES = [type(np.dtype(name)) for name in ("bool", "uint8", "int64", "float32", "float64")]
ARRAYS = [np.ndarray, np.dtype, *DTYPES, np._core.multiarray._reconstruct]
POLICY_STATES = {"sensei.agents.dreamer.PolicyState", "sensei.world_model.rssm.State", "sensei.agents.ppo.Taken"}


@dataclass(frozen=True)
class LoadedAgent:
    """An agent that acts.

    Attributes:
        source: where it was loaded from.
        agent: the algorithm behind it (`sensei.agents.contract.Agent`).
        settings: of the study that trained it, complete.
        task: the environment's task whose reward was paid.
        step: agent steps that it had taken.
        behaviours: what it can act with, "explore", "task" or both; the one it was trained to act with first.
    """

    source: str
    agent: Agent
    spaces: Spaces
    settings: Settings
    task: str
    step: int

    @property
    def behaviours(self) -> tuple[str, ...]:
        """What it can act with."""
        return self.agent.behaviours

    def environment(self) -> Environment:
        """A new environment as it was trained in, with evaluation episodes: a `gymnasium.Env` that the caller closes.

        Raises:
            SenseiError: this machine lacks what the environment needs.
        """
        return make(self.settings.environment, self.settings.world_model.image_size, self.task, evaluation=True)

    def check_spaces(self, environment: Any) -> None:
        """Refuse an environment whose pictures, flags or actions are not those that the agent knows.

        Raises:
            SenseiError: one sentence with both.
        """
        side = self.settings.world_model.image_size
        known = _said((side, side, 3), self.spaces.flags, self.spaces.action)
        try:
            seen = environment.observation_space
            found = _said(seen["image"].shape, seen["flags"].shape[0], environment.action_space)
        except (AttributeError, KeyError, TypeError, IndexError):
            found = f"{type(environment).__name__}, whose observations are no pictures with flags"
        if found != known:
            hint = "`agent.environment()` makes one that does; docs/extending.md says how to bring another"
            raise SenseiError(f"the environment does not fit the agent of {self.source}", found=found, expected=known, hint=hint)


class _Content(NamedTuple):
    """What a file says of an agent."""

    agent: dict[str, Any]
    run: dict[str, Any]
    spaces: tuple
    step: int


def load_agent(source: str | Path, run: str | None = None, device: str = "cpu") -> LoadedAgent:
    """Load a trained agent.

    Args:
        source: the folder of a run (also of one under way: its last checkpoint), a file `agent.pt`, or an archive that
            `python -m sensei export --checkpoints` wrote.
        run: in an archive with several agents, which: "minihack_keyroom_s5/explore/sensei/seed0".
        device: "cpu" or "cuda".

    Raises:
        SenseiError: there is no agent there, it is damaged, of another version, or there are several; one sentence with what, where
            and what to do.
    """
    name, content = _read(Path(source), run, device)
    with global_streams_kept(), _of_this_version(name):  # Stable-Baselines3 seeds what belongs to the caller
        about, spaces = content.run, Spaces(*content.spaces)
        settings, method = _as(Settings, about["settings"], name), _as(Method, about["method"], name)
        kind = find(method.algorithm, *AGENTS)
        agent = kind(spaces, settings, method, _as(ExplorationConfig, about["weights"], name), about["phase"], about["seed"], device)
        agent.restore(content.agent)
        return LoadedAgent(name, agent, spaces, settings, str(about["task"]), int(content.step))


def _read(source: Path, run: str | None, device: str) -> tuple[str, _Content]:
    """Where the agent is, in words, and what its file says."""
    if source.is_dir():
        files = RunFiles(source)
        path = next((path for path in (files.agent, files.state) if path.exists()), None)
        if path is None:
            hint = f"name the folder of one run, which has a file {NAME} or checkpoint/{files.state.name}"
            raise SenseiError(f"there is no agent in {source}", hint=hint)
    elif source.exists():
        path = source
    else:
        raise SenseiError(f"there is no {source}", hint="name the folder of a run, its agent.pt, or an archive of `export --checkpoints`")
    with open(path, "rb") as file:  # once: the checkpoint of a run under way may be another at the next look
        name, opened = _of_archive(path, run) if _is_archive(file) else (str(path), file)
        content = _content(name, opened, device)
    with _of_this_version(name):
        return name, _Content(*(content[field] for field in _Content._fields))


def _content(name: str, opened: IO[bytes], device: str) -> dict[str, Any]:
    """What stands in a file."""
    with serialization.safe_globals([*ARRAYS, *_policy_states(opened)]):
        try:
            return checkpoint.load(opened, device, name=name)
        except SenseiError as error:
            raise SenseiError(f"{name} is no agent, or damaged", found=error.found, hint="get it again, or train it again") from error


def _policy_states(opened: IO[bytes]) -> list[type]:
    """The classes of policies' states that a file needs, of those we know; imported only then."""
    needed: set[str] = set()
    with contextlib.suppress(*checkpoint.DAMAGE):  # what is wrong with the file is said by whoever reads it
        needed = POLICY_STATES.intersection(serialization.get_unsafe_globals_in_checkpoint(opened))
    places = [name.rpartition(".") for name in sorted(needed)]
    return [getattr(importlib.import_module(module), name) for module, _, name in places]


def _is_archive(file: IO[bytes]) -> bool:
    """Whether a file is an archive, torn or whole."""
    try:
        return tarfile.is_tarfile(file)
    except TORN:
        return True


def _of_archive(archive: Path, run: str | None) -> tuple[str, io.BytesIO]:
    """The file of an agent in an archive, and its name."""
    with _whole(archive), tarfile.open(archive) as tar:
        found = {_run(entry.name): entry for entry in tar if entry.isreg() and entry.name.endswith(f"/{NAME}")}
        chosen = _chosen(archive, list(found), run)
        if found[chosen].size > MOST_PACKED * archive.stat().st_size:
            raise SenseiError(f"{archive}, {chosen} is no agent", found=f"{found[chosen].size:,} bytes in so small an archive")
        return f"{archive}, {chosen}", io.BytesIO(tar.extractfile(found[chosen]).read())


def _chosen(archive: Path, found: list[str], run: str | None) -> str:
    """Which of the agents in an archive is meant."""
    if not found:
        raise SenseiError(f"{archive} holds no agent", hint="pack it with `python -m sensei export --checkpoints`")
    if run is None and len(found) > 1:
        raise SenseiError(f"{archive} holds {len(found)} agents", hint=f"name one of them as `run`: {', '.join(found)}")
    if (chosen := run or found[0]) not in found:
        raise SenseiError(f"{archive} holds no agent of that run", found=chosen, expected=f"one of {', '.join(found)}")
    return chosen


def _run(place: str) -> str:
    """STUDY/ENVIRONMENT/explore/METHOD/SEED/agent.pt without its ends."""
    return place.partition("/")[2].removesuffix(f"/{NAME}")


@contextlib.contextmanager
def _whole(archive: Path) -> Iterator[None]:
    """Let what is torn be said of the archive."""
    try:
        yield
    except (OSError, tarfile.TarError, *TORN) as error:
        raise SenseiError(f"the archive {archive} is damaged", found=error, hint="get it again") from error


def _as(model: type, content: dict[str, Any], name: str) -> Any:
    try:
        return validate(model, content, "settings")
    except SenseiError as error:
        raise _of_another_version(name, error.what) from error


@contextlib.contextmanager
def _of_this_version(name: str) -> Iterator[None]:
    """Let what does not fit be said of the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError, OverflowError) as error:
        raise _of_another_version(name, shortened(error, 200)) from error


def _of_another_version(name: str, found: str) -> SenseiError:
    hint = "load it with the version that made it and the files of its own that it names, or train it again"
    return SenseiError(f"{name} is no agent of this version of the package", found=found, hint=hint)


def _said(image: tuple[int, ...], flags: int, actions: Space) -> str:
    return f"pictures {list(image)}, {flags} flag(s), actions {actions}"
