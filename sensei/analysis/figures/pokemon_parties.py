"""How often a party of Pokémon had which size and strength (paper Fig. 23)."""

import re

import pandas as pd

from sensei.analysis import published, style
from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.episodes import EpisodeFigure
from sensei.analysis.style import Drawing
from sensei.study.models.study import Study

PANELS = {"a": ("largest party", "max_party_size"), "b": ("highest level", "highest_level"), "c": ("summed levels", "summed_level")}
LOGARITHMIC = ("b", "c")


class PokemonParties(EpisodeFigure, Figure):
    """Distributions over episodes: largest party, highest level, summed levels in bins of four."""

    title = "parties in Pokémon Red, over episodes (paper Fig. 23)"
    mark = "max_party_size"
    published = (23,)

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """Three panels of the first environment that counts them."""
        from sensei.analysis.figures import captions, episodes

        environment = data["environment"].iloc[0]
        tables = {}
        for panel, (title, column) in PANELS.items():
            bins = dict.fromkeys(published.bars(23).query("panel == @panel")["metric"])
            kinds = {metric: data[column].between(*_bounds(metric)) for metric in bins}
            tables[panel] = episodes.shares(study, data, environment, kinds, title, episodes.PERCENT_OF_EPISODES)
        caption = f"{study.settings[environment].environment.title}, {captions.seeds(study)}: {_what()}."
        return _draw(tables, caption)

    def draw_published(self, number: int) -> Drawing:
        """The paper's bars."""
        from sensei.analysis.figures import distributions

        tables = {panel: distributions.published_shares(number, panel, title) for panel, (title, _) in PANELS.items()}
        table = tables["a"]
        caption = (
            f"Published values (paper Fig. {number}, read off the figure): {_what()}; {table['steps'].max():,} steps, mean over "
            f"{table['seeds'].max()} seeds. DreamerV3's error bars in (a) were too small to read; where a method has no bar above a value "
            "and no 0, none was read."
        )
        return _draw(tables, caption)


def _bounds(metric: str) -> tuple[int, int]:
    """summed_level_10_13 -> (10, 13); party_size_3 -> (3, 3)."""
    numbers = [int(number) for number in re.findall(r"\d+", metric)]
    return numbers[0], numbers[-1]


def _what() -> str:
    return "share of episodes with which (a) largest party, (b) highest level, (c) summed levels; b and c on a logarithmic axis"


def _draw(tables: dict[str, pd.DataFrame], caption: str) -> Drawing:
    from sensei.analysis.figures import distributions

    figure = style.figure(style.FULL_WIDTH, 2.3)
    words = ("party", "size", "highest", "level", "summed")
    for axes, (letter, table) in zip(figure.subplots(1, len(tables), width_ratios=[6, 10, 9]), tables.items(), strict=True):
        distributions.draw_panel(axes, f"{letter}  {PANELS[letter][0]}", table, words, logarithmic=letter in LOGARITHMIC)
    distributions.legend(figure, list(tables.values()))
    numbers = pd.concat(tables.values(), ignore_index=True)
    return Drawing(figure, numbers, caption + distributions.errors(numbers))
