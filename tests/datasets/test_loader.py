"""Batches that are read ahead are those of a plain DataLoader, and errors come where it has them."""

from __future__ import annotations

import threading

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from tsrnet.core.errors import UserError
from tsrnet.datasets.loader import AheadLoader


class Numbers(Dataset[int]):
    """0 to 9; `bad` cannot be read. Remembers what was read, and tells when."""

    def __init__(self, bad: int | None = None) -> None:
        self.bad = bad
        self.was_read = [threading.Event() for _ in range(10)]

    def __len__(self) -> int:
        return len(self.was_read)

    def __getitem__(self, index: int) -> int:
        self.was_read[index].set()
        if index == self.bad:
            raise UserError(f"{index}: cannot be read")
        return index


@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_are_those_of_a_plain_loader_on_every_pass(num_workers: int) -> None:
    loader = AheadLoader(Numbers(), batch_size=3, num_workers=num_workers)
    plain = list(DataLoader(Numbers(), batch_size=3))
    for _ in range(2):
        for one, other in zip(loader, plain, strict=True):
            assert torch.equal(one, other)


def test_it_is_one_batch_ahead_and_no_more() -> None:
    numbers = Numbers()
    batches = iter(AheadLoader(numbers, batch_size=2))
    assert next(batches).tolist() == [0, 1]
    assert numbers.was_read[3].wait(timeout=60)  # while the first batch is used
    batches.close()  # type: ignore[attr-defined]
    assert not any(one.is_set() for one in numbers.was_read[4:])


def test_an_error_comes_with_its_batch_and_as_it_is() -> None:
    batches = iter(AheadLoader(Numbers(bad=4), batch_size=2))
    assert [next(batches).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(UserError, match=r"^4: cannot be read$"):
        next(batches)
