"""How an update is carried out: op by op, as a replayed CUDA graph, by kernels of our own, or compiled.

`off` uses PyTorch's operations alone. `auto` takes what pays: on CUDA the kernels of `sensei/kernels/card`, and the whole update with its
optimisers is captured once as a graph and then replayed, which removes the cost of launching thousands of small kernels; on a CPU the
kernels of `sensei/kernels/kernels.c` and oneDNN's products, because what torch.compile makes of these networks was slower there
(docs/performance.md). `full` compiles on either device, and on CUDA captures what was compiled.
"""

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

import torch

from sensei.agents.optimiser import Optimiser
from sensei.kernels.choice import pytorch_only

Compile = Literal["off", "auto", "full"]
Metrics = dict[str, torch.Tensor]
log = logging.getLogger("sensei.agents")
WARMUP = 3  # updates before the capture: libraries choose kernels and optimisers make their state


def kernels(compile: Compile) -> contextlib.AbstractContextManager[None]:
    """Where an agent learns or acts, the kernels it may use."""
    return pytorch_only() if compile == "off" else contextlib.nullcontext()


def compile_methods(owner: object, *names: str) -> None:
    """Compile methods of an object: one step of a loop rather than the loop, so that compiling stays short."""
    for name in names:
        setattr(owner, name, torch.compile(getattr(owner, name), dynamic=False))


class Side:
    """A place beside the rest of an update, for work that the rest need not wait for before `join`: a stream of its own or, without one,
    the same place.
    """

    def __init__(self, stream: torch.cuda.Stream | None = None):
        self.stream = stream

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """What the block launches comes after what has been launched so far."""
        if self.stream is None:
            yield
            return
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            yield

    def join(self) -> None:
        """What is launched from here on comes after all work there.

        Only after work in the same update: a graph that is being captured may not wait for anything outside of it.
        """
        if self.stream is not None:
            torch.cuda.current_stream().wait_stream(self.stream)


HERE = Side()


class Captured(NamedTuple):
    """One update as a graph, and where it leaves its scalars."""

    graph: torch.cuda.CUDAGraph
    names: tuple[str, ...]
    metrics: torch.Tensor

    def replay(self) -> Metrics:
        """Carry it out; the scalars returned are not overwritten by the next one."""
        self.graph.replay()
        return dict(zip(self.names, self.metrics.clone().unbind(), strict=True))


class Update:
    """Calls a function of a batch; on CUDA, once warm, replays its graph. Every call is one update, the first ones too.

    Args:
        function: one update in static shapes, without a branch on data and without waiting for the device: of a batch, and of choices
            that are made outside, each combination of which has a graph of its own.
        generators: where it looks up what it draws from; they are replaced there where a capture has spoilt them.
        drawn: the names of those.
        optimisers: all that it steps.
        captures: whether to capture graphs.
    """

    def __init__(
        self,
        function: Callable[..., Metrics],
        generators: dict[str, torch.Generator],
        drawn: Iterable[str],
        optimisers: Iterable[Optimiser],
        captures: bool,
    ):
        self.function, self.optimisers, self.captures = function, list(optimisers), captures
        self.generators, self.drawn = generators, tuple(drawn)
        if captures:
            torch.backends.cudnn.benchmark = True  # shapes never change
        self.forget()

    def forget(self) -> None:
        """Drop the graphs: the tensors they point to have been replaced."""
        self.batch, self.graphs, self.warm = None, {}, Counter()

    def __call__(self, batch: NamedTuple, *choices: bool) -> Metrics:
        """One update."""
        if not self.captures:
            return self.function(batch, *choices)
        if choices not in self.graphs:
            if self.warm[choices] < WARMUP:
                self.warm[choices] += 1
                return self._aside(batch, *choices)
            if not self._capture(batch, *choices):
                return self.function(batch, *choices)
        for ours, given in zip(self.batch, batch, strict=True):
            assert ours.shape == given.shape, f"an update of shape {list(ours.shape)} was captured, not {list(given.shape)}"
            ours.copy_(given, non_blocking=True)
        return self.graphs[choices].replay()

    def _aside(self, batch: NamedTuple, *choices: bool) -> Metrics:
        """An update on a stream of its own, as a capture wants it to have happened before."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            metrics = self.function(batch, *choices)
        torch.cuda.current_stream().wait_stream(stream)
        return metrics

    def _capture(self, batch: NamedTuple, *choices: bool) -> bool:
        """Record an update on buffers of our own, nothing is computed yet; where the driver refuses, go on op by op."""
        self.batch = self.batch or type(batch)(*(part.clone() for part in batch))
        for optimiser in self.optimisers:
            for group in optimiser.adam.param_groups:
                group["capturable"] = True
        graph, states = torch.cuda.CUDAGraph(), {name: self.generators[name].get_state() for name in self.drawn}
        for name in self.drawn:
            graph.register_generator_state(self.generators[name])
        try:
            with torch.cuda.graph(graph):
                metrics = self.function(self.batch, *choices)
                scalars = torch.stack([value.float() for value in metrics.values()])
        except RuntimeError as error:
            log.warning("the update cannot be captured as a CUDA graph and is carried out op by op: %s", error)
            self.captures = False
            for name, state in states.items():  # the old ones wait for ever for a graph that never came
                self.generators[name] = torch.Generator(self.generators[name].device)
                self.generators[name].set_state(state)
            return False
        self.graphs[choices] = Captured(graph, tuple(metrics), scalars)
        return True
