"""What Pokemon Red keeps in the console's memory, read by address (names of the disassembly pret/pokered; docs/pokemon.md)."""

from collections.abc import Callable
from dataclasses import dataclass

BANK = slice(0xC000, 0xE000)  # working memory, in which everything below lies
PARTY_SIZE = 0xD163  # wPartyCount
PARTY, PARTY_BYTES, PARTY_MOST = 0xD16B, 44, 6  # wPartyMons: one record a Pokemon
HP, LEVEL, MOST_HP = 1, 33, 34  # in a record; HP and MOST_HP are two bytes, the high one first
BADGES = 0xD356  # wObtainedBadges, a bit each
MAP, ROW, COLUMN = 0xD35E, 0xD361, 0xD362  # wCurMap, wYCoord, wXCoord
CAUGHT = 0xD2F7  # wPokedexOwned, a bit each
BATTLE = 0xD057  # wIsInBattle: 0 none, 1 wild, 2 trainer, 255 lost
FLAGS = slice(0xD747, 0xD761)  # wEventFlags, as far as PokeGym counts them: all that happens before the first badge and more
TICKET = 0xD754, 1  # of the museum, address and bit mask: no event, says PokeGym
FLAGS_AT_START = 13  # events that PokeGym's start state has already
OPPONENT_LEVEL = 0xD8C5  # of the first record of wEnemyMons
LARGEST = 100  # level; what is beyond is no party, but memory of another game
POKEDEX = {  # those of the paper's Figure 25 -> number
    "squirtle": 7,
    "caterpie": 10,
    "metapod": 11,
    "weedle": 13,
    "kakuna": 14,
    "pidgey": 16,
    "rattata": 19,
    "pikachu": 25,
    "nidoran_m": 32,
}


@dataclass(frozen=True)
class Moment:
    """What the game says of itself between two actions.

    levels: of the party. hp: share of its hit points that are left, 1 without a party. opponent: highest level of the opponent's party,
    which stays in memory after a battle. caught: names of `POKEDEX`.
    """

    map: int
    x: int
    y: int
    levels: tuple[int, ...]
    hp: float
    badges: int
    flags: int
    opponent: int
    in_battle: bool
    caught: frozenset[str]

    @classmethod
    def of(cls, read: Callable[[slice], bytes]) -> "Moment":
        """Read the memory: `read` gives the bytes of a slice of addresses."""
        memory = read(BANK)

        def byte(address: int) -> int:
            return memory[address - BANK.start]

        def word(address: int) -> int:
            return 256 * byte(address) + byte(address + 1)

        party = [PARTY + PARTY_BYTES * number for number in range(min(byte(PARTY_SIZE), PARTY_MOST))]
        most = sum(word(at + MOST_HP) for at in party)
        flags = sum(byte(address).bit_count() for address in range(FLAGS.start, FLAGS.stop)) - ((byte(TICKET[0]) & TICKET[1]) > 0)
        opponents = (byte(OPPONENT_LEVEL + PARTY_BYTES * number) for number in range(PARTY_MOST))
        return cls(
            map=byte(MAP),
            x=byte(COLUMN),
            y=byte(ROW),
            levels=tuple(min(byte(at + LEVEL), LARGEST) for at in party),
            hp=sum(word(at + HP) for at in party) / most if most else 1.0,
            badges=byte(BADGES).bit_count(),
            flags=max(flags - FLAGS_AT_START, 0),
            opponent=min(max(opponents), LARGEST),
            in_battle=byte(BATTLE) != 0,
            caught=frozenset(name for name, number in POKEDEX.items() if byte(CAUGHT + (number - 1) // 8) >> (number - 1) % 8 & 1),
        )
