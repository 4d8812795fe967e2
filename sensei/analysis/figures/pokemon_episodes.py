"""Return, party and progress in Pokémon Red over episodes (paper Fig. 24)."""

import pandas as pd

from sensei.analysis import published
from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.episodes import EpisodeFigure
from sensei.analysis.style import Drawing
from sensei.study.models.study import Study


class PokemonEpisodes(EpisodeFigure, Figure):
    """One panel a quantity: mean over seeds with its band, published curves below."""

    title = "Pokémon Red over episodes (paper Fig. 24)"
    mark = "max_map_segment"
    published = (24,)
    notes = ""

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """A panel for each quantity, in each environment that counts them."""
        from sensei.analysis.figures import captions, curves, episodes

        (number,) = self.published
        found = episodes.columns(study, data, number)
        kinds = [kind for stack in found for table in stack.values() for kind in table["band"].dropna()]
        titles = captions.listing([study.settings[name].environment.title for name in data["environment"].unique()])
        caption = (
            f"{titles} over episodes, {captions.seeds(study)}, moving average over {curves.window((number,))} episodes; "
            f"{captions.band(captions.most_seeds(study), 'bands', kinds)}. Published curves have panels of their own or are dashed."
        )
        return curves.draw(found, caption + captions.gates(study, study.explore), curves.EPISODES)

    def draw_published(self, number: int) -> Drawing:
        """The paper's curves."""
        from sensei.analysis.figures import captions, curves

        table = published.curves(number)
        caption = (
            f"Published values (paper Fig. {number}, read off the figure) over episodes, "
            f"{captions.number(int(table['seeds'].max()), 'seed')} a curve, moving average over {curves.window((number,))} "
            "episodes, sampled sparsely: single points say little. No band was read."
        )
        return curves.draw(curves.published_columns(number), caption + self.notes, curves.EPISODES)
