"""Labels from a file, for people who have labels already."""

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from sensei.annotators.contract import Annotator, Assignment
from sensei.core.errors import SenseiError, mistakes
from sensei.preferences.pair import Label, Pair, Reply
from sensei.study.layout import LabelFiles
from sensei.study.models.annotators import AnnotatorOptions


class Replayed(Annotator):
    """Answers with the labels of a file, which are in the pairs' own order; a pair without a label is a failed question."""

    class Options(AnnotatorOptions):
        """Labels that are there already."""

        file: str = Field(
            description=".csv or .parquet with columns `pair` and `label`, or .npy [pairs]; 0 first, 1 second, 2 tie, 3 unknown"
        )

    def __init__(self, options: Options, assignment: Assignment):
        super().__init__(options, assignment)
        self._labels = read_label_file(options.file)

    @classmethod
    def sources(cls, options: Options, files: LabelFiles) -> list[Path]:
        """The labels."""
        return [Path(options.file)]

    @classmethod
    def missing(cls, options: Options, assignment: Assignment, state: Mapping[str, float] | None, online: bool) -> Iterator[SenseiError]:
        """Whether the labels are there and can be read."""
        yield from mistakes(read_label_file, options.file)

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair."""
        for pair in pairs:
            label = self._labels.get(pair.pair)
            if label is None:
                yield Reply(pair.pair, pair.swapped, "", None, f"{self.options.file} has no label for it")
            else:
                yield Reply(pair.pair, pair.swapped, label.name, label.swapped if pair.swapped else label)


def read_label_file(path: str | Path) -> dict[int, Label]:
    """Pair -> label of a .csv or .parquet file with the columns `pair` and `label`, or of an .npy file [pairs].

    Codes are the published ones: 0 first, 1 second, 2 tie, 3 unknown. A table may leave pairs out, or their labels empty.

    Raises:
        SenseiError: the file is absent, of another kind, or holds anything else; the message names it.
    """
    path = Path(path)
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".npy": _read_array}
    if path.suffix not in readers:
        raise SenseiError(f"labels in {path} cannot be read", expected=f"a file that ends in {', '.join(readers)}")
    try:
        table = readers[path.suffix](path)[["pair", "label"]]
    except FileNotFoundError as error:
        raise SenseiError(f"there is no file {path}", hint="correct `file` in the annotator's YAML") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SenseiError(f"the labels {path} are damaged", found=error, expected="columns `pair` and `label`, or whole numbers") from error
    table = table.dropna()
    number = pd.to_numeric(table["pair"], errors="coerce")
    fault = table[~table["label"].isin(list(Label)) | ~(number >= 0) | (number % 1 != 0) | number.duplicated()]
    if len(fault):
        found = f"pair {fault['pair'].iloc[0]} with label {fault['label'].iloc[0]}"
        raise SenseiError(f"the labels {path} are damaged", found=found, expected="each pair once, labels 0, 1, 2 or 3")
    return {int(pair): Label(int(label)) for pair, label in table.itertuples(index=False)}


def _read_array(path: Path) -> pd.DataFrame:
    labels = np.load(path, allow_pickle=False)
    if not isinstance(labels, np.ndarray) or labels.ndim != 1:
        raise ValueError(f"an array of shape {list(labels.shape)}" if isinstance(labels, np.ndarray) else "several arrays")
    return pd.DataFrame({"pair": np.arange(len(labels)), "label": labels})
