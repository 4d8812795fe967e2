"""How good the labels are: their shares, order bias and agreement, and how well a reward model learns from how many of them."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from sensei.analysis import published
from sensei.analysis.cards import read_label_card, read_reward_card
from sensei.analysis.figures.captions import listing
from sensei.analysis.figures.contract import Figure
from sensei.analysis.inputs import Inputs
from sensei.analysis.style import Drawing
from sensei.preferences.agreement import accuracy, cohen_kappa, order_bias
from sensei.preferences.pair import Label
from sensei.preferences.tables import read_labels
from sensei.study.layout import Layout
from sensei.study.models.study import Study

CODES = tuple(code.name.lower() for code in Label)
SHARES = (0.01, 0.1, 1)  # of the labels, that reward models learned from
ORACLE = "oracle"
PUBLISHED = "published"
PUBLISHED_TITLE = {PUBLISHED: "published: Robodesk"}
COLUMNS = ["environment", "annotator", "measure", "other", "value", "low", "high", "count"]


class Labels(Figure):
    """One row of panels per environment; below them the published labels of Robodesk frames."""

    title = "how good the labels are, and what a reward model learns from how many of them"
    draws_labels = True
    published = ("labels",)

    def inputs(self, study: Study, layout: Layout) -> dict[str, Path | list[Path]]:
        """Labels and card of every annotator, and the cards of the reward models that learned from them or from a share of them."""
        files = [layout.labels(*names) for names in study.label_sets()]
        learned = [layout.reward(*names, share=share).card for names, share in product(study.label_sets(), SHARES)]
        return {"labels": [file.labels for file in files], "cards": [file.card for file in files], "learned": learned}

    def load(self, study: Study, inputs: Inputs) -> pd.DataFrame:
        """Everything the figure shows, `COLUMNS`; `measure` is one of share (of the code `other`), order_bias, swap_consistency, accuracy
        and kappa (with the annotator `other`), held_out and held_out_oracle (of a reward model, learned from `count` pairs).

        Raises:
            SenseiError: a file is missing or damaged, named.
        """
        rows, pairs = [], study.label_sets()
        tables = {names: read_labels(path) for names, path in zip(pairs, inputs["labels"], strict=True)}
        learned = dict(zip(product(pairs, SHARES), inputs["learned"], strict=True))
        for (environment, annotator, generation), card in zip(pairs, inputs["cards"], strict=True):
            own, name = _own(read_label_card(card)), study.named(annotator, generation)
            asked = environment, generation, study.own_pairs(annotator, generation)
            alike = {own[1]: table for own, table in tables.items() if (own[0], own[2], study.own_pairs(*own[1:])) == asked}
            agreed = _agreements(annotator, alike)
            cards = [(learned[(environment, annotator, generation), share], share) for share in SHARES]
            models = [row for path, share in cards for row in _learned(read_reward_card(path), share)]
            rows += [(environment, name, *row) for row in (*own, *agreed, *models)]
        rows += [(PUBLISHED, *row) for row in _published()]
        return pd.DataFrame(rows, columns=COLUMNS)

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """Shares and order bias side by side, agreement as a table of numbers, accuracy of reward models over the number of labels."""
        from sensei.analysis.figures import label_panels

        titles = {name: study.settings[name].environment.title for name in study.environments}
        named = [(environment, study.named(*own)) for environment, *own in study.label_sets()]
        rows = {name: {own: own.replace("_", " ") for of, own in named if of == name} for name in study.environments}
        alone = [titles[name] for name in study.environments if not label_panels.compared(data[data["environment"] == name])]
        left_out = f" Left out, since no pair is clear to two annotators: agreement ({listing(alone)})." if alone else ""
        figure = label_panels.draw(data, titles | PUBLISHED_TITLE, rows | _published_names())
        return Drawing(figure, data, _caption(study, data) + left_out)

    def draw_published(self, number: str) -> Drawing:
        """Shares and order bias of the published labels."""
        from sensei.analysis.figures import label_panels

        data = pd.DataFrame([(PUBLISHED, *row) for row in _published()], columns=COLUMNS)
        known, theirs = published.titles(), published.label_shares()
        parts = [f"{known[row.annotator]}: {row.pairs:,} pairs ({row.description})" for row in theirs.itertuples()]
        bias = data[data["measure"] == "order_bias"].sort_values("value").iloc[-1]
        caption = (
            f"Published labels of pairs of Robodesk frames, from the logs (exact). {'; '.join(parts)}. Right: share of clear labels that "
            f"are `first`, with its 95 % Wilson interval. Furthest from one half is {known[bias['annotator']]}, {bias['value']:.1%}."
        )
        return Drawing(label_panels.draw(data, PUBLISHED_TITLE, _published_names()), data, caption)


def _published_names() -> dict[str, dict[str, str]]:
    known = published.titles()
    return {PUBLISHED: {name: known[name] for name in published.label_shares()["annotator"]}}


def _own(card: dict) -> list[tuple]:
    """(measure, other, value, low, high, count) of what a label card says."""
    rows = [("share", code, card["shares"][code], None, None, card["pairs"] - card["errors"]) for code in CODES]
    return rows + [(measure, "", *_interval(card[measure])) for measure in ("order_bias", "swap_consistency")]


def _agreements(name: str, tables: dict[str, pd.DataFrame]) -> list[tuple]:
    """(measure, other, value, low, high, count) of an annotator with the oracle and with every other annotator."""
    own, rows = tables[name], []
    others = {other: table["label"] for other, table in tables.items() if other not in (name, ORACLE)}
    if name != ORACLE and own["oracle"].notna().all():
        others[ORACLE] = own["oracle"]
    for other, labels in others.items():
        both = (own["label"].notna() & labels.notna()).to_numpy()
        mine, theirs = (column[both].to_numpy(np.int64) for column in (own["label"], labels))
        rows.append(("accuracy", other, *_interval(accuracy(mine, theirs))))
        rows.append(("kappa", other, cohen_kappa(mine, theirs), None, None, int(both.sum())))
    return rows


def _learned(card: dict, share: float) -> list[tuple]:
    """(measure, other, value, low, high, count) of a reward model that learned from a share of the labels."""
    pairs, other = card["pairs"]["training"], f"share{share}"
    measured = {"held_out": card["held_out"], "held_out_oracle": card["oracle"]}
    return [(measure, other, *_interval(part)[:3], pairs) for measure, part in measured.items() if part]


def _published() -> list[tuple]:
    """(annotator, measure, other, value, low, high, count) of the published labels."""
    rows = []
    for row in published.label_shares().itertuples():
        counts = [getattr(row, code) for code in CODES]
        rows += [
            (row.annotator, "share", code, count / row.pairs, None, None, row.pairs) for code, count in zip(CODES, counts, strict=True)
        ]
        rows.append((row.annotator, "order_bias", "", *_interval(order_bias(np.repeat(np.arange(len(CODES)), counts)))))
    return rows


def _interval(share: dict) -> tuple:
    return share["share"], share["low"], share["high"], share["count"]


def _caption(study: Study, numbers: pd.DataFrame) -> str:
    parts = []
    for environment in study.environments:
        own = numbers[(numbers["environment"] == environment) & (numbers["measure"] == "swap_consistency") & (numbers["count"] > 0)]
        told = [f"{row.annotator.replace('_', ' ')} {row.value:.1%} of {row.count:,.0f}" for row in own.itertuples()]
        if told:
            parts.append(f"{study.settings[environment].environment.title}: {listing(told)}")
    consistency = f" Same answer in both orders, of pairs asked in both: {'; '.join(parts)}." if parts else ""
    return (
        "Labels of each annotator. Order bias: share of clear answers that prefer the first picture shown, half without bias, with its "
        "95 % Wilson interval; of the published labels, the share of clear ones that are `first`. Agreement: accuracy on pairs clear to "
        "both, Cohen's kappa over all four codes, and the number of pairs clear to both; the colour is the lower end of the accuracy's 95 "
        "% Wilson interval, so that a handful of pairs stays pale. Reward model: accuracy on the same held-out pairs after learning from 1 "
        f"%, 10 % and all of the other labels, one model each, lines are 95 % Wilson intervals.{consistency}"
    )
