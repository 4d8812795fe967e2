"""What the first and the last reward model say along an episode of the run between them (paper Fig. 26)."""

from pathlib import Path

import numpy as np

from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.semantic_reward import EpisodeReward, SemanticReward
from sensei.analysis.inputs import Inputs
from sensei.analysis.style import Drawing
from sensei.core.errors import SenseiError
from sensei.study.layout import Layout
from sensei.study.models.study import Study

FIRST = "first_reward_model"


class RewardGenerations(SemanticReward, Figure):
    """As figure `semantic_reward`, along an episode of the data that the last generation's pairs came from, with both models' rewards."""

    title = "first and last reward model along one episode (paper Fig. 26)"
    draws_labels = True

    def concerns(self, study: Study) -> bool:
        """Whether there is more than one generation, in every environment."""
        return all(len(study.generation_ends(name)) > 1 for name in study.environments)

    def check(self, study: Study) -> None:
        """That there is more than one generation, in every environment."""
        if not self.concerns(study):
            hint = f"set `generations: 2`, or remove {self.name} from `figures`"
            raise SenseiError(f"figure {self.name} compares generations, and study {study.study} has one", hint=hint)

    def inputs(self, study: Study, layout: Layout) -> dict[str, Path | list[Path]]:
        """Those of `semantic_reward`, of the last generation, and the first reward model of each environment."""
        first = [layout.reward(name, study.annotators_of(name)[0]).model for name in study.environments]
        return {**super().inputs(study, layout), "first": first}

    def generation(self, study: Study, environment: str) -> int:
        """The last one."""
        return len(study.generation_ends(environment))

    def compared(self, study: Study, inputs: Inputs, environment: str) -> dict[str, Path]:
        """The first one."""
        return {FIRST: inputs["first"][study.environments.index(environment)]}

    def draw(self, study: Study, data: list[EpisodeReward]) -> Drawing:
        """Both curves, and how alike they are."""
        drawing = super().draw(study, data)
        alike = [f"{study.settings[row.environment].environment.title} {_correlation(row):.2f}" for row in data]
        told = (
            " Dashed: the first reward model; the zero of either is arbitrary, differences along a curve are not. Correlation of the two "
            f"along the episode: {', '.join(alike)}."
        )
        return Drawing(drawing.figure, drawing.numbers, drawing.caption + told)


def _correlation(row: EpisodeReward) -> float:
    """Pearson's, NaN where one of them does not change."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.corrcoef(row.rewards, row.others[FIRST])[0, 1])
