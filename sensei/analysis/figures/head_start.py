"""DreamerV3 from scratch, with the steps that others explore as a head start (paper Fig. 22)."""

from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.ppo_convergence import PpoConvergence
from sensei.analysis.style import Drawing


class HeadStart(PpoConvergence, Figure):
    """As figure `ppo_convergence`."""

    title = "DreamerV3 from scratch, given the steps of exploration too (paper Fig. 22)"
    published = (22,)

    def draw_published(self, number: int) -> Drawing:
        """The paper's curve."""
        from sensei.analysis.figures import curves

        table = curves.published_values((number,), "robodesk", "upright_block_off_table")
        first = table.loc[table["value"] > 0, "step"].min()
        caption = (
            f"Published values (paper Fig. {number}, read off the figure, about 0.03): score of DreamerV3 over "
            f"{curves.x_label((number,))} since the start of training, mean over {table['seeds'].max()} seeds, not smoothed. The first "
            f"score above zero is at {first:,} steps; the last is {table['value'].iloc[-1]:g}. The width of the "
            "published band was not read."
        )
        return curves.draw(curves.published_columns(number), caption, curves.x_label((number,)))
