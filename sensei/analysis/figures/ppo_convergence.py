"""PPO alone, until it converges (paper Fig. 13)."""

import pandas as pd

from sensei.analysis import style
from sensei.analysis.figures import downstream
from sensei.analysis.style import Drawing
from sensei.core.errors import SenseiError
from sensei.study.models.study import Study

load = downstream.load


@style.styled()
def draw(study: Study, scores: pd.DataFrame) -> Drawing:
    """As figure `downstream`, of PPO alone, with the curves of Figure 13.

    Raises:
        SenseiError: the study has no PPO run.
    """
    methods = [name for name in study.learn if study.methods[name].algorithm == "ppo"]
    if not methods:
        raise SenseiError("figure ppo_convergence draws PPO", found=", ".join(study.learn), expected="ppo in `learn`")
    return downstream.draw_methods(study, scores, methods, 13)


@style.styled()
def draw_published(figure: int = 13) -> Drawing:
    """Figure 13 of the paper from the published values alone."""
    columns = downstream.published_columns(figure)
    caption = (
        "Published values (paper Fig. 13, read off the figure, about 0.03): score of PPO over environment steps since the start of "
        "training, mean over 10 seeds, moving average over 30 evaluations. Sampled sparsely: single points say little."
    )
    return downstream.panels(columns, caption, downstream.X_LABELS[13])
