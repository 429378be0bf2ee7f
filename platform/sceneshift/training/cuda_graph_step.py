"""A training step recorded as a CUDA graph: the GPU repeats it without the host queuing its kernels one by one.

A step of S2AMSnet is thousands of small kernels. A GPU runs most of them faster than Python can queue them.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from sceneshift.methods.method import Method


@dataclass(frozen=True, kw_only=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    patches: Tensor
    labels: Tensor
    terms: dict[str, Tensor]


class RecordedStep:
    """A method's training step on a CUDA device.

    The first batch of a shape is trained on as usual; at the second the step is recorded, and from then on replayed:
    the same kernels on the same memory with new patches, labels and draws. A learning rate is part of a recording; when
    it changes, the step is recorded again. After a step, the method's weights, optimizers and draws are the same as
    after ``method.training_step``.

    Args:
        method: The method, on a CUDA device, trained by a single worker.
        computing: The context of a step's computation.
    """

    def __init__(self, method: Method, computing: Callable[[], AbstractContextManager[None]]) -> None:
        self._method, self._computing = method, computing
        self._stream = torch.cuda.Stream(method.device)
        self._rates: list[float] = []
        self._recordings: dict[torch.Size, _Recording | None] = {}

    def __call__(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Take a step.

        Args:
            patches: (B, C, P, P) float32.
            labels: (B,) int64 class indices.

        Returns:
            As ``method.training_step``.
        """
        groups = [group for optimizer in self._method.optimizers().values() for group in optimizer.param_groups]
        rates = [group["lr"] for group in groups]
        if rates != self._rates:
            self._rates = rates
            self.forget()
        self._method.draw_on_host()
        if patches.shape not in self._recordings:
            self._recordings[patches.shape] = None
            return self._take(patches.contiguous(), labels)
        recording = self._recordings[patches.shape]
        if recording is None:
            for group in groups:
                group["capturable"] = True  # torch requires this before it records an optimizer
            try:
                recording = self._recordings[patches.shape] = self._record(patches, labels)
            finally:
                for group in groups:
                    group["capturable"] = False
        recording.patches.copy_(patches)
        recording.labels.copy_(labels)
        recording.graph.replay()
        return {name: term.clone() for name, term in recording.terms.items()}

    def forget(self) -> None:
        """Release the recordings' memory; the next step is recorded again.

        To be called after the state was replaced, since optimizers replace their tensors when they load a state, but a
        recording holds the old ones.
        """
        self._recordings.clear()

    def _take(self, patches: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Take an unrecorded step on a side stream, which allocates what a recording needs."""
        main = torch.cuda.current_stream(self._method.device)
        self._stream.wait_stream(main)
        with torch.cuda.stream(self._stream), self._computing():
            terms = self._method.step(patches, labels)
        main.wait_stream(self._stream)
        return terms

    def _record(self, patches: Tensor, labels: Tensor) -> _Recording:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._method.generator)
        patches, labels = patches.clone(memory_format=torch.contiguous_format), labels.clone()
        # A recording keeps the memory of a whole step. Those of one run are never replayed at once and share it.
        pool = next((made.graph.pool() for made in self._recordings.values() if made is not None), None)
        # GPU calls of other threads in the meantime do not disturb it.
        recording = torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local")
        with recording, self._computing():
            terms = self._method.step(patches, labels)
        return _Recording(graph=graph, patches=patches, labels=labels, terms=terms)


def records_steps(method: type[Method], device: torch.device, *, num_workers: int) -> bool:
    """Whether training steps are recorded as CUDA graphs: by a worker alone on a GPU, of a method that allows it."""
    return method.graph_safe and device.type == "cuda" and num_workers == 1
