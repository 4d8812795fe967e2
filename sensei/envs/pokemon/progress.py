"""What an episode of Pokemon Red has come to: the potential whose change is the reward, the map segments, what is counted.

Every count is an *increase*, so that its sum over an episode is what the paper's figures show: `max_map_segment` sums to the highest
segment reached, `highest_level` to the highest level. What the start has already counts at the first step.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from sensei.envs.pokemon.memory import POKEDEX, Moment
from sensei.study.models.section import Section

# Map -> segment of the road to the first badge (paper, table in C.3): Oak's lab, Pallet Town, Route 1, Viridian City, Route 2, the forest's
# south gate, Viridian Forest, its north gate, Pewter City, Pewter Gym.
SEGMENTS = {40: 0, 0: 1, 12: 2, 1: 3, 13: 4, 50: 5, 51: 6, 47: 7, 2: 8, 54: 9}
REACHED = tuple(f"segment_{segment}_reached" for segment in range(len(SEGMENTS)))
CAUGHT = tuple(f"caught_{name}" for name in POKEDEX)
GROWING = ("max_map_segment", "map_segments_per_episode", "highest_level", "summed_level", "max_party_size", "gym_badges")
COUNTED = ("battle_started", "tile_visited", "healed", "fainted")
# The potential, at every step: its mean over an episode is what the paper most likely calls the return per step (Figs. 24a and 27a).
POTENTIAL = "potential"
EVENTS = (*GROWING, *COUNTED, *REACHED, *CAUGHT, POTENTIAL)
LEVELS_AT_FULL_PAY = 30


class RewardOptions(Section):
    """The reward; the defaults are the paper's text: PokeGym 0.1.1 but for the tiles, and a death that costs."""

    reward_scale: float = Field(4.0, gt=0, le=1000, description="of the whole potential")
    tile_weight: float = Field(0.1, ge=0, le=1000, description="of a new place (x, y, map); PokeGym: 0.01")
    opponent_weight: float = Field(0.2, ge=0, le=1000, description="of the highest level among opponents")
    badge_weight: float = Field(5.0, ge=0, le=1000, description="of a badge, 20 after the scale; released code: 100 after the scale, so 25")
    death_weight: float = Field(-0.05, ge=-1000, le=1000, description="of a lost battle; released code and PokeGym until 0.1.2: +0.05")
    levels: Literal["drop", "continuous"] = Field(
        "drop", description="of summed levels from 30 on. drop: PokeGym's, which falls from 116 to 30 there (paper); continuous: no fall"
    )


class Progress:
    """Of one episode, from its start.

    Args:
        start: the game at the start of the episode.
    """

    def __init__(self, options: RewardOptions, start: Moment):
        self._options, self._before = options, start
        self._places: set[tuple[int, int, int]] = set()
        self._maps: set[int] = set()
        self._caught: frozenset[str] = frozenset()
        self._best = dict.fromkeys(("flags", "summed_level", "opponent", *GROWING), 0)
        self._healing, self._deaths = 0.0, 0
        self._look(start)
        self.potential = self._sum()
        self._new = dict.fromkeys(EVENTS, 0.0)  # not told yet: what the start has
        self._count(dict.fromkeys(GROWING, 0), set(), frozenset())

    def advance(self, now: Moment) -> tuple[float, dict[str, float]]:
        """(reward, events) of the step to `now`."""
        before, self._before = self._before, now
        best, maps, caught, places = dict(self._best), set(self._maps), self._caught, len(self._places)
        healing, deaths = self._healing, self._deaths
        if now.hp > before.hp and len(now.levels) == len(before.levels):
            if before.hp > 0:
                self._healing += now.hp - before.hp
            else:
                self._deaths += 1  # who has lost wakes up healed
        self._look(now)
        self._count(best, maps, caught)
        self._new["battle_started"] = float(now.in_battle and not before.in_battle)
        self._new["tile_visited"] = float(len(self._places) - places)
        self._new["healed"], self._new["fainted"] = float(self._healing > healing), float(self._deaths - deaths)
        potential, self.potential = self.potential, self._sum()
        events, self._new = {**self._new, POTENTIAL: self.potential}, dict.fromkeys(EVENTS, 0.0)
        return self.potential - potential, events

    def terms(self) -> dict[str, float]:
        """The potential's terms, weighted, before the scale."""
        options, best = self._options, self._best
        levels = best["summed_level"]
        beyond = (levels - LEVELS_AT_FULL_PAY) / 4
        full = 4 * LEVELS_AT_FULL_PAY if options.levels == "continuous" else LEVELS_AT_FULL_PAY  # upstream forgot the 4
        return {
            "events": float(best["flags"]),
            "level": float(4 * levels if beyond < 0 else full + beyond),
            "opponent": options.opponent_weight * best["opponent"],
            "death": options.death_weight * self._deaths,
            "badges": options.badge_weight * best["gym_badges"],
            "healing": self._healing,
            "tiles": options.tile_weight * len(self._places),
        }

    def state(self) -> Mapping[str, float]:
        """What an oracle may look at: where the player is, and what the episode has come to."""
        now = self._before
        return {
            "map": float(now.map),
            "x": float(now.x),
            "y": float(now.y),
            "segment": float(SEGMENTS.get(now.map, -1)),
            "in_battle": float(now.in_battle),
            "hp": now.hp,
            "party_size": float(len(now.levels)),
            "badges": float(now.badges),
            POTENTIAL: self.potential,
            **{name: float(self._best[name]) for name in ("max_map_segment", "map_segments_per_episode", "highest_level", "summed_level")},
        }

    def _look(self, now: Moment) -> None:
        """Take in where the game is."""
        self._places.add((now.x, now.y, now.map))
        self._maps.add(now.map)
        self._caught |= now.caught
        found = {
            "flags": now.flags,
            "summed_level": sum(now.levels),
            "opponent": now.opponent,
            "max_map_segment": SEGMENTS.get(now.map, 0),
            "map_segments_per_episode": len(self._maps),
            "highest_level": max(now.levels, default=0),
            "max_party_size": len(now.levels),
            "gym_badges": now.badges,
        }
        self._best = {name: max(self._best[name], value) for name, value in found.items()}

    def _count(self, best: Mapping[str, int], maps: set[int], caught: frozenset[str]) -> None:
        """Add what is new against an earlier state to what will be told with the next step."""
        for name in GROWING:
            self._new[name] += self._best[name] - best[name]
        for visited in (self._maps - maps) & SEGMENTS.keys():
            self._new[REACHED[SEGMENTS[visited]]] = 1.0
        for name in self._caught - caught:
            self._new[f"caught_{name}"] = 1.0

    def _sum(self) -> float:
        return self._options.reward_scale * sum(self.terms().values())
