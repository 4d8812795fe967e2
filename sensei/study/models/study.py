"""A study with everything it names, resolved."""

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sensei.study.models.annotators import AnnotatorConfig, PromptedConfig
from sensei.study.models.behaviour import BehaviourConfig
from sensei.study.models.bounds import Generations, Pairs, Seed, Steps
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.exploration import EnsembleConfig, ExplorationConfig, Method
from sensei.study.models.names import Name, Plugin, Text
from sensei.study.models.preferences import LabelsConfig, PairsConfig
from sensei.study.models.reward import RewardModelConfig
from sensei.study.models.section import MOST, Section, distinct
from sensei.study.models.training import TrainingConfig
from sensei.study.models.world_model import WorldModelConfig


class Settings(Section):
    """Everything that one environment of one study runs with."""

    environment: EnvironmentConfig
    world_model: WorldModelConfig = WorldModelConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    behaviour: BehaviourConfig = BehaviourConfig()
    exploration: ExplorationConfig = ExplorationConfig()
    training: TrainingConfig = TrainingConfig()
    pairs: PairsConfig = PairsConfig()
    labels: LabelsConfig = LabelsConfig()
    reward: RewardModelConfig = RewardModelConfig()


# Where, how often and for how much, not what: these change no result, so they re-make nothing.
OPERATIONAL = {
    "device",
    "runs_per_gpu",
    "trackers",
    "checkpoint_every",
    "requests",
    "prices",
    "max_usd",
    "max_unreadable",
    "pairs_at_once",
}
BESIDE_STUDIES = ("published", "people", "ledger.sqlite", "README.md")  # what else is in the folder of results


def _not_taken(name: str) -> str:
    if name in BESIDE_STUDIES:
        raise ValueError(f"{name} is something else in the folder of results; give the study another name")
    return name


ErrorBars = Literal["bootstrap", "standard_error", "standard_deviation", "published"]
StudyName = Annotated[Name, AfterValidator(_not_taken)]


class Study(Section):
    """A complete study: its axes, and what it changes in the settings of every environment."""

    study: StudyName = Field(description="folder below results/")
    seeds: list[Seed] = Field(min_length=1, max_length=MOST)
    environment_seeds: dict[Name, list[Seed]] = Field({}, description="seeds of the environments that have seeds of their own")
    environment_annotators: dict[Name, list[Name]] = Field({}, description="annotators of the environments that have some of their own")
    environments: list[Name] = Field(min_length=1, max_length=MOST)
    explore: list[Name] = Field(min_length=1, max_length=MOST, description="methods with an exploration run")
    learn: list[Name] = Field(max_length=MOST, description="methods with a task run")
    annotators: list[Name] = Field(
        [],
        max_length=MOST,
        description="the first one trains the methods, the others are compared with it; none is needed where no method and no figure asks "
        "for a semantic reward",
    )
    collector: Name = Field("plan2explore", description="exploring method whose runs are the data that is labelled")
    generations: Generations | None = Field(
        None,
        description="reward models, one after the other: each further one also learns from pairs of what the first method with a semantic "
        "reward has seen by then, and the exploration goes on with it; null: 1, or as many as relabel_every makes (paper: 1, Fig. 27: 2)",
    )
    relabel_every: Steps | None = Field(
        None,
        description="agent steps of exploration between two generations; with `generations` the last one lasts until explore_steps; null: "
        "explore_steps in equal parts",
    )
    relabel_pairs: Pairs | None = Field(None, description="pairs of each further generation; null: pairs.number (paper: 50,000, half)")
    one_generation: list[Name] = Field(
        [], max_length=MOST, description="exploring methods that keep the first generation's reward model, to be compared (paper: Fig. 27)"
    )
    figures: list[Plugin] = Field(min_length=1, max_length=MOST, description="figures of sensei/analysis/figures, or package.module:Class")
    question: Text | None = Field(None, description="what the study is to find out, in a sentence, for its page")
    error_bars: ErrorBars = Field(
        "bootstrap",
        description="error bars and bands over seeds, named on every picture. bootstrap: 95 % interval of the mean; published: as in the "
        "paper's figure of the same, so that a panel compares like with like",
    )
    allow_partial: bool = Field(
        False, description="draw from the runs that there are, and say which are missing, instead of asking for all"
    )
    stages: list[Plugin] = Field([], max_length=MOST, description="further stages, package.module:Class")
    left_out: dict[Name, Text] = Field(
        {}, description="environments of the file that are left out here -> what users have to bring for them"
    )
    settings: dict[Name, Settings] = Field(description="one resolved entry per environment")
    methods: dict[Name, Method]
    annotator_settings: dict[Name, AnnotatorConfig]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for axis in ("seeds", "environments", "explore", "learn", "annotators", "figures", "stages", "one_generation"):
            distinct(axis, getattr(self, axis))
        for axis, own in (("seeds", self.environment_seeds), ("annotators", self.environment_annotators)):
            for name, values in own.items():
                distinct(f"per_environment.{name}.{axis}", values)
        for name in [*self.explore, self.collector]:
            if not self.methods[name].explores:
                raise ValueError(f"method {name} has no exploration phase; move it from `explore` to `learn`")
        if self.methods[self.collector].needs_reward_model:
            raise ValueError(f"collector {self.collector} needs labels before there are frames; use plan2explore or random")
        for name in self.learn:
            if self.methods[name].explores and name not in self.explore:
                raise ValueError(f"`learn` names {name}, which starts from its exploration; add it to `explore`")
            if not self.methods[name].agent("learns"):
                raise ValueError(f"method {name} learns nothing; remove it from `learn`")
        for name in self.one_generation:
            if name not in self.explore or not self.methods[name].needs_reward_model:
                raise ValueError(f"`one_generation` names {name}, which explores without a semantic reward here; leave it out")
        for name in self.environments:
            self._somebody_labels(name)
            self._generations_fit(name)
        titles = Counter(method.title for method in self.methods.values())
        if repeated := [title for title, count in titles.items() if count > 1]:
            raise ValueError(f"two methods are called {repeated[0]!r}; give each `title` once")
        for name, parts in self.settings.items():
            if strange := [method for method in parts.training.own_steps if method not in self.learn]:
                raise ValueError(
                    f"`training.own_steps` of {name} names {strange[0]}, which learns nothing here; add it to `learn` or remove it"
                )
            frames = parts.training.explore_steps * len(parts.pairs.seeds)
            for method in self.explore:
                sources, weights = self.methods[method].sources, self.weights(name, method).explore
                if sources and not any(weights.get(source) for source in sources):
                    raise ValueError(
                        f"no source of method {method} has a weight in {name}; give one of {', '.join(sources)} under `explore`"
                    )
            if self.annotators_of(name) and parts.pairs.number > frames * (frames - 1) // 2:
                offer = f"{frames} frames of {name} offer {frames * (frames - 1) // 2}"
                raise ValueError(f"`pairs.number` asks for {parts.pairs.number} pairs, {offer}; lower it or raise `training.explore_steps`")
        return self

    def _generations_fit(self, environment: str) -> None:
        ends = self.generation_ends(environment)
        if len(ends) > 1 and not self._semantic():
            raise ValueError(f"{len(ends)} generations need a method with a semantic reward; add sensei to `explore`, or leave them out")
        if self.relabel_every and self.relabel_every > ends[-1]:
            what = f"`relabel_every` is {self.relabel_every}, {environment} explores for {ends[-1]} steps"
            raise ValueError(f"{what}; lower it, or raise `training.explore_steps`")
        if ends != sorted(set(ends)):
            what = f"{len(ends)} generations of {ends[0]} steps do not fit in {ends[-1]} steps of exploration of {environment}"
            raise ValueError(f"{what}; lower `generations` or `relabel_every`")

    def _semantic(self) -> list[str]:
        """Exploring methods whose semantic reward each generation renews."""
        return [name for name in self.explore if self.methods[name].needs_reward_model and name not in self.one_generation]

    def generation_ends(self, environment: str) -> list[int]:
        """Agent steps of exploration after which each generation ends, the last one with the exploration."""
        steps = self.settings[environment].training.explore_steps
        every = self.relabel_every or -(-steps // (self.generations or 1))
        return [*(every * number for number in range(1, self.generations or -(-steps // every))), steps]

    def last_generation(self, environment: str, method: str) -> int:
        """The generation in which the exploration with `method` ends: 1 for one that no reward model guides, or always the first."""
        return len(self.generation_ends(environment)) if method in self._semantic() else 1

    def collector_of(self, generation: int) -> str:
        """Whose runs are the data that is labelled for a generation."""
        return self.collector if generation == 1 else self._semantic()[0]

    def settings_of(self, environment: str, generation: int) -> Settings:
        """What a generation runs with: a further one may ask for another number of pairs."""
        parts = self.settings[environment]
        if generation == 1 or self.relabel_pairs is None:
            return parts
        return parts.model_copy(update={"pairs": parts.pairs.model_copy(update={"number": self.relabel_pairs})})

    def asking(self, environment: str, annotator: str) -> LabelsConfig:
        """How pairs of `environment` are put to `annotator`: one may be asked in other views than the rest."""
        labels, views = self.settings[environment].labels, self.annotator_settings[annotator].views
        return labels if views is None else labels.model_copy(update={"views": views})

    def own_pairs(self, annotator: str, generation: int | str) -> str | None:
        """The annotator, if it is asked about pairs of its own episodes in a generation; the further ones are of what the methods see."""
        return annotator if self.annotator_settings[annotator].episodes and str(generation) == "1" else None

    def told_left_out(self) -> list[str]:
        """A line for people about each environment that is left out."""
        return [f"{name} is left out: {reason}" for name, reason in self.left_out.items()]

    def _somebody_labels(self, environment: str) -> None:
        lacking = (name for name in self.explore if self.methods[name].needs_reward_model)
        if not self.annotators_of(environment) and (method := next(lacking, None)):
            raise ValueError(
                f"method {method} follows a semantic reward, and nobody labels frames of {environment}; name one in `annotators`"
            )

    def seeds_of(self, environment: str) -> list[int]:
        """Seeds of the runs in `environment`: its own, else the study's."""
        return self.environment_seeds.get(environment, self.seeds)

    def annotators_of(self, environment: str) -> list[str]:
        """Annotators of the frames of `environment`: its own, else the study's."""
        return self.environment_annotators.get(environment, self.annotators)

    def exploration_runs(self) -> list[tuple[str, str, int]]:
        """(environment, method, seed) of every exploration run that the axes name."""
        return [(name, method, seed) for name in self.environments for method in self.explore for seed in self.seeds_of(name)]

    def task_runs(self) -> list[tuple[str, str, str, int]]:
        """(environment, task, method, seed) of every task run."""
        return [
            (name, task, method, seed)
            for name in self.environments
            for task in self.settings[name].environment.tasks
            for method in self.learn
            for seed in self.seeds_of(name)
        ]

    def labelled(self) -> list[tuple[str, str]]:
        """(environment, annotator) of every set of labels, and so of every reward model, of one generation."""
        return [(name, annotator) for name in self.environments for annotator in self.annotators_of(name)]

    def label_sets(self) -> list[tuple[str, str, int]]:
        """(environment, annotator, generation) of all of them."""
        return [(*names, number) for names in self.labelled() for number in range(1, 1 + len(self.generation_ends(names[0])))]

    def named(self, annotator: str, generation: int) -> str:
        """What tables and figures call the labels of an annotator, and the reward model that learned from them."""
        return annotator if generation == 1 else f"{annotator}_gen{generation}"

    def prompt_of(self, annotator: str, environment: str) -> str | None:
        """Name or path of the prompt with which `annotator` is asked about `environment`; None for one that is not asked in words."""
        config = self.annotator_settings[annotator]
        return config.prompt or self.settings[environment].pairs.prompt if isinstance(config, PromptedConfig) else None

    def annotator_of(self, method: str, environment: str) -> str:
        """The annotator whose reward model `method` maximises in `environment`."""
        return self.methods[method].annotator or self.annotators_of(environment)[0]

    def weights(self, environment: str, method: str) -> ExplorationConfig:
        """Percentile, go and explore weights of `method` in `environment`: the method's own, else the environment's."""
        own, given = self.methods[method], self.settings[environment].exploration
        return ExplorationConfig(
            percentile=given.percentile if own.percentile is None else own.percentile,
            go=own.go or given.go,
            explore=own.explore or given.explore,
        )
