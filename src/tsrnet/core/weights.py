"""Loads weights: tensors only, nothing else that a file may hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeAlias

import torch
from torch import Tensor, nn

from tsrnet.core.errors import UserError

State: TypeAlias = dict[str, Tensor]


def load_weights(
    module: nn.Module, path: Path, *, need: str, change: Callable[[State], State] = lambda state: state
) -> None:
    """Load a state dict, or the one in a Lightning checkpoint, into a module.

    Args:
        module: what the weights are for.
        path: a file of `torch.save`.
        need: what the file must hold, for the message.
        change: renames or reshapes the entries of the file.

    Raises:
        UserError: the file is missing, holds something else than tensors, or weights of another module.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(change(state.get("state_dict", state)))
    except (OSError, RuntimeError, UnpicklingError, AttributeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: does not hold the weights of {need} ({reason}); give another file"
        ) from error
