"""A player that finds its way in the real game: breadth-first search over what the hero has seen (KeyRoom) or the layout (KeyChest)."""

from collections import Counter, deque
from collections.abc import Callable, Iterable

import numpy as np

from sensei.envs.minihack.glyphs import CHEST, CLOSED_DOORS, DOWN_STAIRS, FLOOR, KEY, OPEN_DOORS, UP_STAIRS
from sensei.envs.minihack.minihack import MiniHackEnvironment

COMPASS = ((0, -1), (1, 0), (0, 1), (-1, 0), (1, -1), (1, 1), (-1, 1), (-1, -1))  # N E S W NE SE SW NW as (x, y)
OUT_OF_SIGHT = 2379  # floor that the hero remembers
Place = tuple[int, int]


def search(start: Place, goals: set[Place], neighbours: Callable[[Place], Iterable[Place]]) -> list[Place] | None:
    """Shortest path from `start` (left out) to the nearest goal."""
    came_from, queue = {start: None}, deque([start])
    while queue:
        place = queue.popleft()
        if place in goals:
            path = []
            while place != start:
                path.append(place)
                place = came_from[place]
            return path[::-1]
        for neighbour in neighbours(place):
            if neighbour not in came_from:
                came_from[neighbour] = place
                queue.append(neighbour)
    return None


class Player:
    """Acts, and adds up what the environment reports."""

    def __init__(self, env: MiniHackEnvironment, seed: int):
        self.env, self.events, self.actions = env, Counter(), []
        self.observation, self.info = env.reset(seed=seed)
        self.reward, self.terminated, self.truncated = 0.0, False, False

    @property
    def place(self) -> Place:
        return int(self.info["state"]["x"]), int(self.info["state"]["y"])

    def act(self, action: int) -> dict[str, float]:
        """Take one action; the events of this step."""
        self.observation, self.reward, self.terminated, self.truncated, self.info = self.env.step(action)
        self.actions.append(action)
        self.events.update({name: value for name, value in self.info["events"].items() if value})
        return self.info["events"]

    def move_to(self, place: Place) -> None:
        """Go to a neighbouring cell; opening a door on the way takes further attempts."""
        x, y = self.place
        for _ in range(30):
            self.act(COMPASS.index((place[0] - x, place[1] - y)))
            if self.place == place or self.terminated:
                return
        raise AssertionError(f"could not move from {(x, y)} to {place}")


class RoomPlayer(Player):
    """Plays KeyRoom."""

    APPLY = 8

    def __init__(self, env: MiniHackEnvironment, seed: int):
        super().__init__(env, seed)
        self.doors: set[Place] = set()  # open ones; remembered, because the hero hides the one it stands in

    def seen(self, *glyphs: int) -> set[Place]:
        """Where on the map one of `glyphs` is."""
        rows, columns = np.nonzero(np.isin(self.env._now.glyphs, glyphs))
        return {(int(x), int(y)) for y, x in zip(rows, columns, strict=True)}

    def go_to(self, goals: set[Place]) -> None:
        """Walk to the nearest goal, not over the key or the exit unless it is one."""
        doors = self.doors = self.doors | self.seen(*OPEN_DOORS)
        free = self.seen(FLOOR, OUT_OF_SIGHT, UP_STAIRS) | doors | (self.seen(KEY, DOWN_STAIRS) & goals)

        def neighbours(place: Place) -> list[Place]:
            moves = COMPASS[:4] if place in doors else COMPASS  # nobody walks through a door diagonally
            around = [((place[0] + x, place[1] + y), 0 in (x, y)) for x, y in moves]
            return [other for other, straight in around if other in free and (straight or other not in doors)]

        path = search(self.place, goals, neighbours)
        assert path is not None, f"no way from {self.place} to {goals}"
        for place in path:
            self.move_to(place)

    def look_for(self, *glyphs: int) -> Place:
        """Walk about until one of `glyphs` is on the map."""
        visited = set()
        while not (found := self.seen(*glyphs)):
            visited.add(self.place)
            farthest = max(
                self.seen(FLOOR, OUT_OF_SIGHT) - visited, key=lambda place: abs(place[0] - self.place[0]) + abs(place[1] - self.place[1])
            )
            visited.add(farthest)
            self.go_to({farthest})
        return min(found)

    def go_beside(self, place: Place) -> None:
        """Stand north, east, south or west of `place`."""
        self.go_to({(place[0] + x, place[1] + y) for x, y in COMPASS[:4]})

    def take_key(self) -> None:
        self.go_to({self.look_for(KEY)})

    def go_to_door(self) -> Place:
        door = self.look_for(*CLOSED_DOORS)
        self.go_beside(door)
        return door


class ChestPlayer(Player):
    """Plays KeyChest; reads key, chest and walls from the layout the level was built from."""

    OPEN = 4

    def __init__(self, env: MiniHackEnvironment, seed: int):
        super().__init__(env, seed)
        layout = env._game._layout
        self.offset = np.array(self.place) - np.array(layout.agent_pos)
        cells = {(x, y): layout.grid.get(x, y) for x in range(layout.grid.width) for y in range(layout.grid.height)}
        kinds = {self._on_map(place): getattr(cell, "type", "floor") for place, cell in cells.items()}
        self.free = {place for place, kind in kinds.items() if kind != "wall"}
        (self.key,) = [place for place, kind in kinds.items() if kind == "key"]
        (self.chest,) = [place for place, kind in kinds.items() if kind == "ball"]
        self.doors = {place for place, kind in kinds.items() if kind == "door"}

    def _on_map(self, place: Place) -> Place:
        x, y = np.array(place) + self.offset
        return int(x), int(y)

    def go_to(self, goals: set[Place], avoid: Place | None = None) -> None:
        free = self.free - {avoid}
        path = search(self.place, goals, lambda place: [p for x, y in COMPASS[:4] if (p := (place[0] + x, place[1] + y)) in free])
        for place in path or []:
            self.move_to(place)

    def go_beside_chest(self) -> int:
        """Stand next to the chest; the action that faces it."""
        sides = {(self.chest[0] + x, self.chest[1] + y) for x, y in COMPASS[:4]} & self.free
        self.go_to(sides, avoid=self.chest)
        return COMPASS.index((self.chest[0] - self.place[0], self.chest[1] - self.place[1]))

    def open_chest(self) -> dict[str, float]:
        direction = self.go_beside_chest()
        self.act(self.OPEN)
        return self.act(direction)


def chest_in_crop(player: Player) -> bool:
    """Straight from the game, for comparison with the event."""
    return bool((player.env._now.crop == CHEST).any())
