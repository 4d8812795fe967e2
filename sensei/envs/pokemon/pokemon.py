"""Pokemon Red behind the contract (docs/pokemon.md): the screen, six buttons, PokeGym's reward as the paper changed it."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from gymnasium.spaces import Discrete
from PIL import Image
from pydantic import Field

from sensei.core.errors import SenseiError
from sensei.envs.contract import Environment, Outcome
from sensei.envs.pokemon import cartridge
from sensei.envs.pokemon.memory import Moment
from sensei.envs.pokemon.oracle import can_rank, ranks
from sensei.envs.pokemon.progress import COUNTED, EVENTS, Progress, RewardOptions
from sensei.study.models.bounds import EpisodeSteps, Steps
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.section import MOST, Section

LEVEL = "PokemonRed"
ACTIONS, HEIGHT, WIDTH = 6, 144, 160


class Stretch(Section):
    """Episodes of one length, until the run has taken so many agent steps."""

    until: Steps
    episode_steps: EpisodeSteps


class PokemonEnvironment(Environment):
    """The game on a Game Boy; the observation is the screen, made smaller by area averaging, without flags.

    Never terminated. Every episode starts from the same saved game, and equal actions lead to equal episodes: there is nothing for a seed
    to draw. Episodes grow longer as the run goes on (`schedule`); evaluations have `episode_steps` at once.
    """

    class Options(RewardOptions):
        """Choices that the published Pokemon numbers depended on; the defaults are the paper's."""

        schedule: list[Stretch] = Field(
            [
                Stretch(until=250_000, episode_steps=1000),
                Stretch(until=500_000, episode_steps=2000),
                Stretch(until=750_000, episode_steps=4000),
            ],
            max_length=MOST,
            description="length of the episodes at first, `episode_steps` after the last stretch; the paper prints 25K, 50K and 75K, "
            "its figures show ten times as many",
        )
        frames: int = Field(96, ge=2, le=3600, description="of one action, 60 a second")
        held: int = Field(8, ge=1, le=3599, description="frames until the button is let go")
        annotator_picture: Literal["screen", "observation"] = Field(
            "screen",
            description="what annotators and the reward model see. screen: 144 x 160 (paper); observation: the agent's picture, as the "
            "reward model of the released code",
        )
        start: Literal["saved_game", "power_on"] = Field(
            "saved_game", description="saved_game: after Oak's parcel, a file of the user's (paper); power_on: ten seconds after the switch"
        )
        rom_sha1: str = Field(cartridge.SHA1, pattern="^[0-9a-f]{40}$", description="of the cartridge")
        state_sha1: str | None = Field(None, pattern="^[0-9a-f]{40}$", description="of the saved game; null: any")

    annotator_side = WIDTH
    seconds_per_step = 0.02  # 96 frames
    can_rank, ranks = staticmethod(can_rank), staticmethod(ranks)

    @classmethod
    def interactions(cls, events: Iterable[str]) -> dict[str, list[str]]:
        """What is done in the game; how far an episode has come is another figure's."""
        return {name: [name] for name in events if name in COUNTED}

    @classmethod
    def published_name(cls, config: EnvironmentConfig) -> str:
        """The game's, whatever the task is called."""
        return "pokemon"

    @classmethod
    def lacking(cls) -> str | None:
        """The cartridge, which nobody may ship."""
        return cartridge.lacking()

    def __init__(self, config: EnvironmentConfig, image_size: int):
        if config.level != LEVEL:
            raise SenseiError("environment of family pokemon: unknown level", found=config.level, expected=f"one of {LEVEL}")
        options = self.Options.model_validate(config.options)
        if options.held >= options.frames:
            raise SenseiError("`held` is no part of `frames`", found=options.held, expected=f"less than {options.frames}")
        from sensei.envs.pokemon.emulator import Emulator

        self._options, self._image_size = options, image_size
        path, rom = cartridge.read_rom(options.rom_sha1)
        state = cartridge.read_state(path, options.state_sha1) if options.start == "saved_game" else None
        self._emulator = Emulator(rom, state, options.frames, options.held)
        self._progress = self._started()
        screen = options.annotator_picture == "screen"
        super().__init__(
            config,
            image_size,
            action_space=Discrete(ACTIONS),
            known_events=EVENTS,
            state_names=self._state(),
            annotator_image_shape=(HEIGHT, WIDTH, 3) if screen else (image_size, image_size, 3),
        )

    def _length(self, episode: int, workers: int) -> int:
        if self.evaluation:
            return self.config.episode_steps
        begun = 0  # agent steps of the run when the episode begins, all workers together
        for stretch in self._options.schedule:
            episodes = -(-max(stretch.until - begun, 0) // (workers * stretch.episode_steps))
            if episode < episodes:
                return stretch.episode_steps
            episode, begun = episode - episodes, begun + episodes * workers * stretch.episode_steps
        return self.config.episode_steps

    def _begin(self, seed: int) -> None:
        self._emulator.reset()
        self._progress = self._started()

    def _started(self) -> Progress:
        return Progress(self._options, Moment.of(self._emulator.read))

    def _advance(self, action: int) -> Outcome:
        from sensei.envs.pokemon.emulator import BUTTONS

        self._emulator.press(BUTTONS[action])
        reward, events = self._progress.advance(Moment.of(self._emulator.read))
        return Outcome(reward, events=events)

    def _image(self) -> np.ndarray:
        size = self._image_size, self._image_size
        return np.asarray(Image.fromarray(self._emulator.picture()).resize(size, Image.Resampling.BOX))

    def _state(self) -> dict[str, float]:
        return dict(self._progress.state())

    def render_for_annotator(self, view: str | None = None) -> np.ndarray:
        """The screen, uint8 [144, 160, 3], or what the agent sees of it."""
        return self._emulator.picture() if self._options.annotator_picture == "screen" else self._image()

    def close(self) -> None:
        """Switch the console off."""
        self._emulator.close()
