"""PPO alone, until it converges (paper Fig. 13)."""

import pandas as pd

from sensei.analysis.figures.contract import Figure
from sensei.analysis.style import Drawing
from sensei.core.errors import SenseiError
from sensei.study.models.study import Study


class PpoConvergence(Figure):
    """As figure `learn`, of PPO alone, to its last step."""

    title = "PPO alone, until it converges (paper Fig. 13)"
    published = (13,)

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """One panel per task.

        Raises:
            SenseiError: the study has no PPO run.
        """
        from sensei.analysis.figures import curves

        methods = [name for name in study.learn if study.methods[name].algorithm == "ppo"]
        if not methods:
            raise SenseiError(f"figure {self.name} draws PPO", found=", ".join(study.learn), expected="ppo in `learn`")
        found = curves.columns(study, data, methods, self.published)
        return curves.draw(found, curves.caption(study, found, methods, self.published), curves.x_label(self.published))

    def draw_published(self, number: int) -> Drawing:
        """The paper's curves."""
        from sensei.analysis.figures import curves

        caption = (
            f"Published values (paper Fig. {number}, read off the figure, about 0.03): score of PPO over {curves.x_label((number,))} since "
            f"the start of training, mean over 10 seeds, moving average over {curves.window((number,))} evaluations. Sampled sparsely: "
            "single points say little."
        )
        return curves.draw(curves.published_columns(number), caption, curves.x_label((number,)))
