"""How an update is carried out: op by op, as a replayed CUDA graph, by kernels of our own, or compiled.

`off` uses PyTorch's operations alone. `auto` takes what pays: on CUDA the kernels of `world_model/triton_kernels.py`, and the whole update,
optimisers included, is captured once as a graph and then replayed, which removes the cost of launching thousands of small kernels; on a
CPU the kernels of `world_model/kernels.c` and oneDNN's products, because what torch.compile makes of these networks was slower there
(docs/performance.md). `full` also compiles losses and rewards on either device, and on CUDA captures what was compiled.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import torch

from sensei.world_model.model import Batch
from sensei.world_model.products import library_kernels

if TYPE_CHECKING:
    from sensei.agents.dreamer import DreamerAgent

Compile = Literal["off", "auto", "full"]
log = logging.getLogger("sensei.agents")
SIDES = ("task", "ensemble", "task critic", "explore critic")  # parts of an update that a card works on beside the rest
WARMUP = 3  # updates before the capture: libraries choose kernels and optimisers make their state


class Side:
    """A place beside the rest of an update, for work that the rest need not wait for before `join`: a stream of its own or, without one,
    the same place.
    """

    def __init__(self, stream: torch.cuda.Stream | None = None):
        self.stream = stream

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """What the block launches comes after what has been launched so far."""
        if self.stream is not None:
            self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            yield

    def join(self) -> None:
        """What is launched from here on comes after all work there."""
        if self.stream is not None:
            torch.cuda.current_stream().wait_stream(self.stream)


class Learning:
    """Calls `agent.learn`; on CUDA, once warm, replays its graph. Every call is one update, the first ones too."""

    def __init__(self, agent: "DreamerAgent", compile: Compile):
        self.agent = agent
        self.plain = compile == "off"
        self.captures = agent.device.type == "cuda" and not self.plain
        streams = {name: torch.cuda.Stream(agent.device) if self.captures else None for name in SIDES}
        self.sides = {name: Side(stream) for name, stream in streams.items()}
        if self.captures:
            torch.backends.cudnn.benchmark = True  # shapes never change
        if compile == "full":
            compile_parts(agent)
        self.forget()

    def kernels(self) -> contextlib.AbstractContextManager[None]:
        """Where the agent learns or acts, the kernels it may use."""
        return library_kernels() if self.plain else contextlib.nullcontext()

    def forget(self) -> None:
        """Drop the graph: the tensors it points to have been replaced."""
        self.graph, self.batch, self.names, self.metrics, self.updates = None, None, None, None, 0

    def __call__(self, batch: Batch) -> dict[str, torch.Tensor]:
        """One update; the scalars returned are not overwritten by the next one."""
        if not self.captures:
            return self.agent.learn(batch)
        if self.graph is None and self.updates < WARMUP:
            self.updates += 1
            return self._aside(batch)
        if self.graph is None and not self._capture(batch):
            return self.agent.learn(batch)
        for ours, given in zip(self.batch, batch, strict=True):
            assert ours.shape == given.shape, f"an update of shape {list(ours.shape)} was captured, not {list(given.shape)}"
            ours.copy_(given, non_blocking=True)
        self.graph.replay()
        return dict(zip(self.names, self.metrics.clone().unbind(), strict=True))

    def _aside(self, batch: Batch) -> dict[str, torch.Tensor]:
        """An update on a stream of its own, as a capture wants it to have happened before."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            metrics = self.agent.learn(batch)
        torch.cuda.current_stream().wait_stream(stream)
        return metrics

    def _capture(self, batch: Batch) -> bool:
        """Record an update on buffers of our own, nothing is computed yet; where the driver refuses, go on op by op."""
        self.batch = Batch(*(part.clone() for part in batch))
        for optimiser in self.agent.optimisers().values():
            for group in optimiser.adam.param_groups:
                group["capturable"] = True
        graph, generators = torch.cuda.CUDAGraph(), self.agent.generators
        states = {name: generators[name].get_state() for name in ("observe", "imagine")}
        for name in states:
            graph.register_generator_state(generators[name])
        try:
            with torch.cuda.graph(graph):
                metrics = self.agent.learn(self.batch)
                self.names, self.metrics = tuple(metrics), torch.stack([value.float() for value in metrics.values()])
        except RuntimeError as error:
            log.warning("the update cannot be captured as a CUDA graph and is carried out op by op: %s", error)
            self.captures = False
            for name, state in states.items():  # the old ones wait for ever for a graph that never came
                generators[name] = torch.Generator(self.agent.device)
                generators[name].set_state(state)
            return False
        self.graph = graph
        return True


def compile_parts(agent: "DreamerAgent") -> None:
    """Compile the functions an update consists of: one step of a loop rather than the loop, so that compiling stays short."""
    model = agent.world_model
    for owner, names in ((model, ("losses",)), (model.rssm, ("step", "posterior_step", "imagine_step")), (agent, ("_rewards",))):
        for name in names:
            setattr(owner, name, torch.compile(getattr(owner, name), dynamic=False))
