"""Every term of the reward, every segment and every count on a memory image that the test writes."""

import numpy as np
import pytest

from sensei.envs.pokemon import memory
from sensei.envs.pokemon.memory import Moment
from sensei.envs.pokemon.oracle import ranks
from sensei.envs.pokemon.progress import EVENTS, SEGMENTS, Progress, RewardOptions


class Image:
    """The console's memory; addresses as in the documents about the game, not as in the code."""

    def __init__(self):
        self.bytes = bytearray(0x10000)
        self.party((6, 20, 20))
        self.put(0xD35E, 40)
        self.put(0xD2F7, 0b0100_0000)  # number 7
        self.put(0xD747, 0xFF, 0x1F)  # 13 events

    def put(self, address, *values):
        self.bytes[address : address + len(values)] = bytes(values)
        return self

    def party(self, *members):
        """(level, hit points, most hit points) of each."""
        self.put(0xD163, len(members))
        for number, (level, hp, most) in enumerate(members):
            start = 0xD16B + 0x2C * number
            self.put(start + 0x01, *divmod(hp, 256)).put(start + 0x21, level).put(start + 0x22, *divmod(most, 256))
        return self

    def now(self):
        return Moment.of(lambda addresses: bytes(self.bytes[addresses.start : addresses.stop]))


@pytest.fixture
def image():
    return Image()


def terms(progress, image):
    progress.advance(image.now())
    return progress.terms()


def test_the_start_is_worth_its_levels_and_its_place(image):
    progress = Progress(RewardOptions(), image.now())
    assert progress.terms() == {"events": 0, "level": 24, "opponent": 0, "death": 0, "badges": 0, "healing": 0, "tiles": pytest.approx(0.1)}
    assert progress.potential == pytest.approx(4 * 24.1)
    reward, events = progress.advance(image.now())
    assert reward == 0 and events["potential"] == pytest.approx(96.4)
    assert {name for name, value in events.items() if value} == {
        "map_segments_per_episode", "highest_level", "summed_level", "max_party_size", "segment_0_reached", "caught_squirtle", "potential",
    }  # fmt: skip
    assert set(events) == set(EVENTS)


@pytest.mark.parametrize(
    ("change", "term", "value"),
    [
        (lambda image: image.put(0xD750, 0b101), "events", 2),
        (lambda image: image.put(0xD760, 0x80), "events", 1),
        (lambda image: image.put(0xD761, 0xFF), "events", 0),  # PokeGym stops before it
        (lambda image: image.put(0xD754, 0x01), "events", 0),  # the museum's ticket
        (lambda image: image.party((12, 20, 20)), "level", 48),
        (lambda image: image.party((12, 20, 20), (17, 9, 9)), "level", 116),
        (lambda image: image.party((12, 20, 20), (18, 9, 9)), "level", 30),  # upstream's fall
        (lambda image: image.party((20, 20, 20), (30, 9, 9)), "level", 35),
        (lambda image: image.put(0xD8C5 + 0x2C, 9), "opponent", 1.8),
        (lambda image: image.put(0xD356, 0b11), "badges", 10),
        (lambda image: image.put(0xD362, 7), "tiles", 0.2),
        (lambda image: image.put(0xD361, 7), "tiles", 0.2),
        (lambda image: image.put(0xD35E, 7), "tiles", 0.2),
    ],
)
def test_a_term_has_the_value_that_the_memory_says(image, change, term, value):
    progress = Progress(RewardOptions(), image.now())
    before = progress.terms()
    change(image)
    after = terms(progress, image)
    assert after[term] == pytest.approx(value)
    assert {name: after[name] for name in after if name != term} == {name: before[name] for name in before if name != term}


def test_the_reward_is_the_change_and_what_was_reached_is_kept(image):
    progress = Progress(RewardOptions(), image.now())
    image.put(0xD356, 1).put(0xD8C5, 10)
    assert progress.advance(image.now())[0] == pytest.approx(4 * (5 + 2))
    image.put(0xD356, 0).put(0xD8C5, 0).party((5, 20, 20))
    reward, events = progress.advance(image.now())
    assert reward == 0 and events["gym_badges"] == 0


def test_healing_counts_what_came_back_and_a_lost_battle_counts_as_death(image):
    progress = Progress(RewardOptions(), image.now())
    assert terms(progress, image.party((6, 5, 20)))["healing"] == 0
    _, events = progress.advance(image.party((6, 15, 20)).now())
    assert progress.terms()["healing"] == pytest.approx(0.5) and events["healed"] == 1
    progress.advance(image.party((6, 15, 20), (3, 12, 12)).now())  # a new one in the party heals nobody
    assert progress.terms()["healing"] == pytest.approx(0.5)
    progress.advance(image.party((6, 0, 20), (3, 0, 12)).now())
    _, events = progress.advance(image.party((6, 20, 20), (3, 12, 12)).now())
    assert progress.terms()["death"] == pytest.approx(-0.05) and events["fainted"] == 1 and events["healed"] == 0
    assert progress.terms()["healing"] == pytest.approx(0.5)


def test_options_are_the_quirks(image):
    released = RewardOptions(badge_weight=25, death_weight=0.05)
    progress = Progress(released, image.now())
    assert progress.advance(image.put(0xD356, 1).now())[0] == pytest.approx(100)
    progress = Progress(RewardOptions(levels="continuous"), image.party((15, 9, 9), (14, 9, 9)).now())
    assert progress.terms()["level"] == 116
    assert terms(progress, image.party((16, 9, 9), (14, 9, 9)))["level"] == 120
    assert terms(progress, image.party((20, 9, 9), (14, 9, 9)))["level"] == 121


def test_segments_are_the_road_and_maps_are_all_of_them(image):
    assert list(SEGMENTS) == [40, 0, 12, 1, 13, 50, 51, 47, 2, 54] and list(SEGMENTS.values()) == list(range(10))
    progress = Progress(RewardOptions(), image.now())
    sums = dict.fromkeys(EVENTS, 0.0)
    for place in (0, 37, 12, 1, 0, 13):  # 37 is a house
        _, events = progress.advance(image.put(0xD35E, place).now())
        sums = {name: sums[name] + events[name] for name in sums}
    assert sums["max_map_segment"] == 4 and sums["map_segments_per_episode"] == 6 + 1 - 1
    assert [sums[f"segment_{number}_reached"] for number in range(10)] == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    state = progress.state()
    assert (state["segment"], state["max_map_segment"], state["map"]) == (4, 4, 13)


def test_caught_is_read_from_the_pokedex_by_number(image):
    progress = Progress(RewardOptions(), image.now())
    progress.advance(image.now())
    _, events = progress.advance(image.put(0xD2F7 + 3, 0b1000_0001).now())  # 25 and 32
    assert {name for name, value in events.items() if value and name.startswith("caught")} == {"caught_pikachu", "caught_nidoran_m"}
    assert set(memory.POKEDEX) == {name.removeprefix("caught_") for name in EVENTS if name.startswith("caught_")}


def test_a_battle_counts_once(image):
    progress = Progress(RewardOptions(), image.now())
    flags = [1, 1, 0, 2]
    assert [progress.advance(image.put(0xD057, flag).now())[1]["battle_started"] for flag in flags] == [1, 0, 0, 1]


def test_the_oracle_prefers_what_lies_further_along_the_road_and_a_badge_to_all(image):
    states = []
    for place, badges in ((37, 0), (40, 0), (51, 0), (54, 0), (0, 1)):
        states.append(Progress(RewardOptions(), image.put(0xD35E, place).put(0xD356, badges).now()).state())
    state = {key: np.array([one[key] for one in states]) for key in states[0]}
    assert (np.diff(ranks(state)) > 0).all() and ranks(state).shape == (5,)
    state["highest_level"] += np.array([9, 0, 0, 0, 0])
    assert ranks(state, nearer=True)[0] < ranks(state, nearer=True)[1]
