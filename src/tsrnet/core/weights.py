"""Loads weights: tensors only, nothing else that a file may hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tsrnet.core.reading import reading

State: TypeAlias = dict[str, Tensor]


def load_weights(
    module: nn.Module, path: Path, *, need: str, change: Callable[[State], State] = lambda state: state
) -> None:
    """Load a state dict, or the one in a Lightning checkpoint, into a module.

    Args:
        module: what the weights are for.
        path: a file of `torch.save`, or a .safetensors file.
        need: what the file must hold, for the message.
        change: renames or reshapes the entries of the file.

    Raises:
        UserError: the file is missing or damaged, holds anything but tensors, weights of another
            module, or numbers that are not finite.
    """
    with reading(path, f"a file with the weights of {need}", do="give another file"):
        state = read_state(path)
        for name, value in state.items():
            if not isinstance(value, Tensor) or value.is_complex():
                raise ValueError(f"no real numbers in {name}")
        module.load_state_dict(change(state))
        if broken := [name for name, value in module.state_dict().items() if not value.isfinite().all()]:
            raise ValueError(f"NaN or infinite values in {', '.join(broken[:3])}")


def check_size(build: Callable[[], nn.Module], path: Path) -> None:
    """Raise UserError if a file is too small for the weights of a module, before memory is allocated."""
    with reading(path, "a file with weights", do="give another file"), torch.device("meta"):
        numbers, size = sum(one.numel() for one in build().parameters()), path.stat().st_size
        if numbers > size:
            raise ValueError(f"{size:,} bytes, the network has {numbers:,} weights")


def read_state(path: Path) -> State:
    """The state dict of a file of `torch.save`, of a Lightning checkpoint or of a .safetensors file."""
    if path.suffix == ".safetensors":
        return load_file(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__}")
    return dict(state.get("state_dict", state))
