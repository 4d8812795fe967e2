"""Which Pokémon were ever caught (paper Fig. 25)."""

import pandas as pd

from sensei.analysis import published, style
from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.episodes import EpisodeFigure
from sensei.analysis.style import Drawing
from sensei.study.models.study import Study


class PokemonCaught(EpisodeFigure, Figure):
    """The share of seeds that ever caught each kind."""

    title = "Pokémon that were ever caught (paper Fig. 25)"
    mark = "caught_squirtle"
    published = (25,)

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """One panel of the first environment that counts them."""
        from sensei.analysis.figures import captions, episodes

        metrics = list(published.bars(25)["metric"].unique())
        environment = data["environment"].iloc[0]
        kinds = {metric: data[metric] > 0 for metric in metrics}
        table = episodes.shares(study, data, environment, kinds, "ever caught", episodes.PERCENT_OF_SEEDS)
        title = study.settings[environment].environment.title
        return _draw(table, f"{title}, {captions.seeds(study)}: share of seeds that ever caught each kind.")

    def draw_published(self, number: int) -> Drawing:
        """The paper's bars."""
        from sensei.analysis.figures import distributions

        table = distributions.published_shares(number, "all", "ever caught")
        caption = (
            f"Published values (paper Fig. {number}, read off the figure): share of {table['seeds'].max()} seeds that ever caught each "
            f"kind in {table['steps'].max():,} steps. Squirtle is the one that every run starts with."
        )
        return _draw(table, caption)


def _draw(table: pd.DataFrame, caption: str) -> Drawing:
    from sensei.analysis.figures import distributions

    figure = style.figure(style.FULL_WIDTH, 1.9)
    distributions.draw_panel(figure.subplots(), "ever caught", table, ("caught",))
    distributions.legend(figure, [table])
    return Drawing(figure, table, caption)
