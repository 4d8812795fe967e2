"""Pokémon Red with the reward of the first and of the second generation, and Plan2Explore, one seed each (paper Fig. 27)."""

from sensei.analysis import style
from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.pokemon_episodes import PokemonEpisodes
from sensei.analysis.style import Drawing

GENERATION_BEGINS = 427  # episode from which the second generation's run goes on (paper, Fig. 27)


class PokemonGenerations(PokemonEpisodes, Figure):
    """As figure `pokemon_episodes`; in the paper's values a dotted line where the second generation begins."""

    title = "Pokémon Red, first and second generation (paper Fig. 27)"
    published = (27,)
    notes = (
        f" Both generations are one run up to the dotted line at episode {GENERATION_BEGINS}. Badges are not smoothed, and only their ends "
        "and jumps are listed."
    )

    def draw_published(self, number: int) -> Drawing:
        """The paper's curves."""
        drawing = super().draw_published(number)
        for axes in drawing.figure.axes:
            if axes.axison:
                axes.axvline(GENERATION_BEGINS, color=style.FAINT, linewidth=0.7, linestyle=":")
        return drawing
