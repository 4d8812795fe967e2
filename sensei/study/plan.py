"""What a study would take before anything runs: jobs, hours, limits, memory, disk, labels and dollars, stage by stage."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sensei.annotators.estimate import expenses_of, questions_of
from sensei.core.errors import SenseiError
from sensei.envs.registry import family
from sensei.envs.trial import Seen, Trial
from sensei.study.cost import kept_bytes, limit, links
from sensei.study.graph import Work, work
from sensei.study.layout import Layout
from sensei.study.models.study import Study
from sensei.study.rates import on_card, time_of


@dataclass(frozen=True)
class Row:
    """One stage.

    Attributes:
        jobs, of: to be made, of how many.
        links: jobs in a row that the longest of them needs, none of which is longer than a day.
        core_hours, card_hours: expected, from measured rates; without the jobs of which no rate is known (`unknown`).
        minutes, memory: what the largest of them asks for; MB.
        bytes: that stay on the disk.
        labels: questions to annotators, both orders and all views.
        dollars: what servers charge; None where it cannot be said here.
        sources: where the rates are from.
    """

    stage: str
    jobs: int
    of: int
    links: int = 1
    core_hours: float = 0.0
    card_hours: float = 0.0
    unknown: int = 0
    minutes: int = 0
    memory: int = 0
    bytes: int = 0
    labels: int = 0
    dollars: float | None = 0.0
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All stages in order; `notes` say what could not be found out, in sentences."""

    study: str
    rows: list[Row]
    notes: list[str]

    @property
    def total(self) -> Row:
        """All rows together: sums, and the largest limits."""
        sums = {
            name: sum(getattr(row, name) for row in self.rows) for name in ("jobs", "of", "core_hours", "card_hours", "unknown", "bytes")
        }
        most = {name: max((getattr(row, name) for row in self.rows), default=0) for name in ("links", "minutes", "memory")}
        prices = [row.dollars for row in self.rows]
        labels, dollars = sum(row.labels for row in self.rows), None if None in prices else sum(prices)
        sources = tuple(dict.fromkeys(source for row in self.rows for source in row.sources))
        return Row("total", labels=labels, dollars=dollars, sources=sources, **sums, **most)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"study": self.study, "stages": [asdict(row) for row in self.rows], "total": asdict(self.total), "notes": self.notes}

    def line(self) -> str:
        """The total in a sentence."""
        total = self.total
        hours = [f"{value:,.1f} {unit} hours" for value, unit in ((total.core_hours, "core"), (total.card_hours, "card")) if value >= 0.05]
        hours += [f"beside {total.unknown} job{'s' * (total.unknown > 1)} whose rate nobody measured"] * (total.unknown > 0)
        parts = [f"{total.jobs} of {total.of} jobs", *hours, f"jobs of at most {duration(total.minutes)}"]
        parts += [f"chains of up to {total.links} of them"] * (total.links > 1)
        parts += [f"{size(total.bytes)} on the disk", f"{total.labels:,} labels"]
        parts.append("dollars unknown" if total.dollars is None else f"{total.dollars:,.2f} $")
        return f"Plan of study {self.study}: {', '.join(parts)} (python -m sensei plan says more)"


def plan(study: Study, files: Layout, look: bool = True) -> Plan:
    """What is still to be made of a study, and what that takes.

    Args:
        look: whether to make each environment once, for the size of its pictures and for what servers would charge for them; if not,
            pictures count as they are before compression, and prices are not asked for unless there are none.
    """
    every, left = work(study, files), work(study, files, left=True)
    notes: list[str] = []
    seen = _seen(study, look, notes)
    disk: dict[str, int] = {}
    for stage, stays, _ in kept_bytes(study, files, seen):
        disk[stage] = disk.get(stage, 0) + stays
    dollars = _dollars(study, files, look, notes)
    names = list(dict.fromkeys(one.stage.name for one in every))
    rows = []
    for name in names:
        own = [one for one in left if one.stage.name == name]
        count = sum(one.stage.name == name for one in every)
        rows.append(_row(study, files, name, own, count, disk.get(name, 0), dollars if name == "annotate" else 0.0))
    return Plan(study.study, rows, notes)


def _row(study: Study, files: Layout, name: str, own: list[Work], count: int, disk: int, dollars: float | None) -> Row:
    if not own:
        return Row(name, 0, count)
    times = [(time_of(study, files, one), on_card(study, one)) for one in own]
    hours = {card: sum(time.seconds or 0 for time, on in times if on is card) / 3600 for card in (False, True)}
    limits = [limit(study, name, one.job) for one in own]
    return Row(
        name,
        len(own),
        count,
        links=max(_links(study, one) for one in own),
        core_hours=hours[False],
        card_hours=hours[True],
        unknown=sum(time.seconds is None for time, _ in times),
        minutes=max(found.minutes for found in limits),
        memory=max(found.memory for found in limits),
        bytes=disk,
        labels=_labels(study, own) if name == "annotate" else 0,
        dollars=dollars,
        sources=tuple(dict.fromkeys(time.source for time, _ in times)),
    )


def _links(study: Study, one: Work) -> int:
    """Jobs of which one is made, one after the other."""
    runs, job = one.stage.name in ("explore", "learn"), one.job
    return links(study, one.stage.name, job.environment, job.method, int(job.generation)) if runs else 1


def _labels(study: Study, own: list[Work]) -> int:
    """Questions of the shards that are to be asked."""
    shards = Counter((one.job.environment, one.job.annotator, int(one.job.generation)) for one in own)
    return sum(round(questions_of(study, *asked) * count / study.settings[asked[0]].pairs.shards) for asked, count in shards.items())


def _seen(study: Study, look: bool, notes: list[str]) -> Mapping[str, Seen]:
    """How large pictures are: looked at, all environments at once, or uncompressed where they cannot be made here."""
    found = {
        name: Seen({}, 3 * parts.world_model.image_size**2, 3 * family(parts.environment).annotator_side ** 2)
        for name, parts in study.settings.items()
    }
    trials = {name: Trial(parts.environment, parts.world_model.image_size) for name, parts in study.settings.items()} if look else {}
    try:
        for name, trial in trials.items():
            try:
                found[name] = trial.result()
            except SenseiError as error:
                notes.append(f"{name} cannot be made here ({error.what}), so its pictures count uncompressed")
    finally:
        for trial in trials.values():
            trial.end()
    return found


def _dollars(study: Study, files: Layout, look: bool, notes: list[str]) -> float | None:
    """What is still to be paid; None if that cannot be said."""
    paid = [name for _, name, _ in study.label_sets() if _is_paid(study, name)]
    if not paid or not look:
        return None if paid else 0.0
    try:
        return sum(expense.expected for _, expense in expenses_of(study, files))
    except SenseiError as error:
        notes.append(f"what {', '.join(dict.fromkeys(paid))} would cost cannot be said here ({error.what})")
        return None


def _is_paid(study: Study, annotator: str) -> bool:
    prices = getattr(study.annotator_settings[annotator], "prices", None)
    return prices is not None and any(price for price in prices.model_dump().values())


def duration(minutes: int) -> str:
    """45 min; 24 h."""
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.3g} h"


def size(count: int) -> str:
    """0.3 GB."""
    return f"{count / 1e9:,.1f} GB"


def table(found: Plan) -> Any:
    """The plan as a table of rich."""
    from rich.table import Table

    columns = (
        "stage",
        "jobs",
        "core hours",
        "card hours",
        "a job at most",
        "in a row",
        "memory",
        "disk",
        "labels",
        "dollars",
        "rates from",
    )
    shown = Table(title=f"study {found.study}")
    for name in columns:
        shown.add_column(name, justify="left" if name in ("stage", "rates from") else "right")
    for row in (*found.rows, found.total):
        if row.stage == "total":
            shown.add_section()
        jobs = f"{row.jobs}" if row.jobs == row.of else f"{row.jobs} of {row.of}"
        hours = [f"{value:,.2f}" if value else "" for value in (row.core_hours, row.card_hours)]
        asked = [duration(row.minutes), str(row.links), f"{row.memory / 1000:.1f} GB"] if row.jobs else [""] * 3
        price = "?" if row.dollars is None else f"{row.dollars:,.2f}" if row.dollars else ""
        sources = "" if row.stage == "total" else ", ".join(row.sources)
        shown.add_row(
            row.stage, jobs, *hours, *asked, size(row.bytes) if row.bytes else "", f"{row.labels:,}" if row.labels else "", price, sources
        )
    return shown
