"""How far the agents get on the map of Pokémon Red, and how strong their party (paper Fig. 8)."""

import pandas as pd

from sensei.analysis import published, style
from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.episodes import EpisodeFigure
from sensei.analysis.style import Drawing
from sensei.study.models.study import Study

SEGMENTS = [
    "Oak's Lab",
    "Pallet Town",
    "Route 1",
    "Viridian City",
    "Route 2",
    "Forest South Gate",
    "Viridian Forest",
    "Forest North Gate",
    "Pewter City",
    "Pewter Gym",
]  # the road to the first Gym, paper C.3


class PokemonProgress(EpisodeFigure, Figure):
    """(a) the share of seeds that ever reach each segment of the map; (b) and (c) curves over episodes."""

    title = "progress in Pokémon Red (paper Fig. 8)"
    mark = "segment_0_reached"
    published = (8,)

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """Three panels of the first environment that counts segments."""
        from sensei.analysis.figures import captions, curves, episodes

        metrics = [f"segment_{number}_reached" for number in range(len(SEGMENTS))]
        tasks = list(published.curves(8)["task"].unique())
        environment = data["environment"].iloc[0]
        kinds = {metric: data[metric] > 0 for metric in metrics}
        reached = episodes.shares(study, data, environment, kinds, "segments ever reached", episodes.PERCENT_OF_SEEDS)
        over = {task: episodes.over_episodes(study, data, environment, task, curves.window((8,))) for task in tasks}
        caption = (
            f"{study.settings[environment].environment.title}, {captions.seeds(study)}: (a) share of seeds that ever reach each segment of "
            f"the map; (b, c) over episodes, mean over seeds, moving average over {curves.window((8,))} episodes; "
            f"{captions.band(captions.most_seeds(study), 'bands', over[tasks[0]]['band'].dropna())}."
        )
        return _draw(reached, over, caption + captions.gates(study, study.explore))

    def draw_published(self, number: int) -> Drawing:
        """The paper's bars and curves."""
        from sensei.analysis.figures import curves, distributions

        reached = distributions.published_shares(number, "a", "segments ever reached")
        over = {task: curves.published_values((number,), "pokemon", task) for task in published.curves(number)["task"].unique()}
        gym = reached[(reached["metric"] == f"segment_{len(SEGMENTS) - 1}_reached") & (reached["value"] > 0)]
        who = ", ".join(f"{row.title} ({row.value:g} %)" for row in gym.itertuples())
        caption = (
            f"Published values (paper Fig. {number}, read off the figure): (a) share of {reached['seeds'].max()} seeds that ever reach "
            f"each segment of the map in {reached['steps'].max():,} steps; (b, c) over episodes, mean over seeds, moving average over "
            f"{curves.window((number,))} episodes; the width of the published bands was not read. The Gym is reached by: {who}."
        )
        return _draw(reached, over, caption)


def _draw(reached: pd.DataFrame, over: dict[str, pd.DataFrame], caption: str) -> Drawing:
    from sensei.analysis.figures import curves, distributions

    figure = style.figure(style.FULL_WIDTH, 3.4)
    grid = figure.add_gridspec(2, 2, width_ratios=[1.25, 1])
    axes = figure.add_subplot(grid[:, 0])
    distributions.draw_panel(axes, "a  segments ever reached", reached, ("segment", "reached"), lying=True)
    axes.set_yticks(range(len(SEGMENTS)), [f"{number}  {name}" for number, name in enumerate(SEGMENTS)])
    axes.invert_yaxis()
    for row, (letter, (task, table)) in enumerate(zip("bc", over.items(), strict=True)):
        curves.draw_panel(figure.add_subplot(grid[row, 1]), f"{letter}  {task.replace('_', ' ')}", table, curves.EPISODES)
    curves.legend(figure, list(over.values()))
    numbers = pd.concat([reached, *(table.assign(panel=task.replace("_", " ")) for task, table in over.items())], ignore_index=True)
    return Drawing(figure, numbers, caption)
