"""What an archive of a study holds, in the words that data-set tracks and hubs read: Croissant 1.0 (mlcommons.org/croissant), JSON-LD."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensei import __version__

LICENSE = "https://spdx.org/licenses/MIT.html"
PAPER = "https://arxiv.org/abs/2503.01584"
FORMATS = {
    ".parquet": "application/x-parquet",
    ".jsonl": "application/jsonlines",
    ".json": "application/json",
    ".csv": "text/csv",
    ".yaml": "application/yaml",
    ".mp4": "video/mp4",
}
TYPES = {"int": "sc:Integer", "uint": "sc:Integer", "float": "sc:Float", "double": "sc:Float", "bool": "sc:Boolean"}
WORDS = """
    citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes isLiveDataset jsonPath key md5
    parentField path recordSet references regex repeated replace samplingRate separator source subField transform
"""
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "conformsTo": "dct:conformsTo",
    **{word: f"cr:{word}" for word in WORDS.split()},
}


def describe(name: str, about: str, files: Mapping[str, tuple[str, int]], tables: Mapping[str, tuple[str, Path]]) -> dict[str, Any]:
    """The metadata of a data set.

    Args:
        name, about: what it is called, and one paragraph of what it is.
        files: place in the archive -> SHA-256 and bytes.
        tables: name of a set of records -> its place in the archive, and the Parquet file there, which says what the columns are.
    """
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": about,
        "version": __version__,
        "license": LICENSE,
        "url": PAPER,
        "citeAs": f"SENSEI: Semantic Exploration Guided by Foundation Models to Learn Versatile World Models. ICML 2025. {PAPER}",
        "distribution": [_file(place, *known) for place, known in sorted(files.items())],
        "recordSet": [_records(called, *table) for called, table in tables.items()],
    }


def checksums(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Place -> SHA-256 of every file that `describe` named.

    Raises:
        KeyError, TypeError: it is no such metadata.
    """
    return {entry["contentUrl"]: entry["sha256"] for entry in metadata["distribution"]}


def text(metadata: Mapping[str, Any]) -> str:
    """As the file says it."""
    return json.dumps(metadata, indent=1, ensure_ascii=False) + "\n"


def _file(place: str, sha256: str, size: int) -> dict[str, str]:
    return {
        "@type": "cr:FileObject",
        "@id": place,
        "name": place,
        "contentUrl": place,
        "contentSize": f"{size} B",
        "encodingFormat": FORMATS.get(Path(place).suffix, "application/octet-stream"),
        "sha256": sha256,
    }


def _records(called: str, place: str, table: Path) -> dict[str, Any]:
    """A set of records with a field for each column."""
    from pyarrow import parquet

    return {
        "@type": "cr:RecordSet",
        "@id": called,
        "name": called,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{called}/{column.name}",
                "name": f"{called}/{column.name}",
                "dataType": TYPES.get(str(column.type).rstrip("0123456789"), "sc:Text"),
                "source": {"fileObject": {"@id": place}, "extract": {"column": column.name}},
            }
            for column in parquet.read_schema(table)
        ],
    }
