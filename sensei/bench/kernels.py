"""Milliseconds of every operation by our kernels and by PyTorch's own, and which of them is taken on this machine."""

from typing import Annotated, Any

import typer

from sensei.bench.measure import Isa, Json, emit, limit_instructions, machine


def kernels(
    again: Annotated[bool, typer.Option(help="measure now, and decide anew, even if it has been done on this machine")] = False,
    isa: Isa = None,
    json: Json = None,
) -> None:
    """Each operation by ours and by PyTorch's, and which is taken: what `compile: auto` goes by on a CPU."""
    limit_instructions(isa)
    from sensei.kernels.library import compiled_by
    from sensei.kernels.measure import measured

    found = measured(again)
    compiler = compiled_by(found["instructions"]) if found["instructions"] else None
    emit({"bench": "kernels", "isa": isa, "compiler": compiler, **found, "slower": slower(found), "machine": machine()}, json)


def slower(found: dict[str, Any]) -> list[str]:
    """Operations that are taken from ours although PyTorch's are faster; there must be none."""
    return [name for name, way in found["operations"].items() if way["ours"] and way["ours_ms"] > way["pytorch_ms"]]
