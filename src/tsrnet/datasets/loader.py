"""Loaders of batches: the next one is made in a thread while the last one is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from torch.utils.data import DataLoader


class AheadLoader(DataLoader[Any]):
    """A DataLoader that is one batch ahead. Without workers it reads in a thread, which copies nothing."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        batches = super().__iter__()
        if self.num_workers:
            yield from batches
            return
        with ThreadPoolExecutor(1) as thread:
            ahead = thread.submit(next, batches, None)
            while (batch := ahead.result()) is not None:
                ahead = thread.submit(next, batches, None)
                yield batch


class ResumableLoader(AheadLoader):
    """Tells Lightning that training can go on within an epoch: the sampler starts at the trainer's step."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to do."""
