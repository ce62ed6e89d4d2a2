"""TV-L1 optical flow in PyTorch: the method of `tvl1` for many pairs of frames at once, on a GPU.

Fields are kept flat, rows one after the other with a column of zeros between and rows of zeros around: a
neighbour is then a shift, without a test for the border.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tsrnet.video.flow_settings import TVL1
from tsrnet.video.tvl1 import MIN_GRADIENT, MIN_SIDE


@torch.inference_mode()
def tvl1_flow(first: Tensor, second: Tensor, method: TVL1, *, compiled: bool = False) -> Tensor:
    """Flow from each first frame to its second one.

    Args:
        first, second: (pairs, h, w) grey values of 0 to 255, any dtype, on the same device.
        method: the parameters.
        compiled: run the inner loop through torch.compile, which needs Triton (a C++ compiler on a CPU).

    Returns:
        (pairs, 2, h, w) float32 pixels, x then y. The result of a pair does not depend on the others.
    """
    step = _compiled_step() if compiled else _step
    pyramid = [torch.stack([first, second], dim=1).float()]
    for _ in range(1, method.scales):
        height, width = (round(side * method.scale_step) for side in pyramid[-1].shape[-2:])
        if min(height, width) < MIN_SIDE:
            break
        pyramid.append(_resize(pyramid[-1], (height, width), method.scale_step))
    flow = torch.zeros_like(pyramid[-1])
    for level, frames in reversed(list(enumerate(pyramid))):
        flow = _one_scale(frames, flow, method, step)
        if level:
            flow = _resize(flow, pyramid[level - 1].shape[-2:]) / method.scale_step
    return flow


@functools.cache
def can_compile(device: str) -> bool:
    """Whether torch.compile works here. Tried once."""
    pair = torch.zeros(2, 1, 32, 32, device=device)
    try:
        tvl1_flow(pair[0], pair[1], TVL1(scales=1, warps=1), compiled=True)
    except Exception as error:  # a broken compiler or its headers may raise anything
        print(f"flow: torch.compile fails ({type(error).__name__}), uncompiled instead", file=sys.stderr)
        return False
    return True


def _resize(images: Tensor, size: tuple[int, ...], scale: float | None = None) -> Tensor:
    """Bilinear; a given `scale` is used exactly, although the rounded sizes have another ratio."""
    resized: Tensor = torch.ops.aten.upsample_bilinear2d(images, list(size), False, scale, scale)
    return resized


def _one_scale(frames: Tensor, flow: Tensor, method: TVL1, step: Callable[..., Tensor]) -> Tensor:
    """Refine (pairs, 2, h, w) flow at one level of the pyramid; frames (pairs, 2, h, w)."""
    height, width = frames.shape[-2:]
    still, moving = frames[:, 0], frames[:, 1:]
    source = torch.cat([moving, *_gradient(moving)], dim=1)
    rows = torch.arange(height, device=flow.device).unsqueeze(1)
    columns = torch.arange(width, device=flow.device)
    masks = [
        _flat(inside.expand(height, width).float(), rim=0)
        for inside in (columns < width - 1, rows < height - 1)
    ]
    dual = [_flat(torch.zeros_like(still), rim=width + 1) for _ in range(4)]
    for _ in range(method.warps):
        at = torch.stack([2 * (columns + flow[:, 0]) + 1, 2 * (rows + flow[:, 1]) + 1], dim=-1)
        grid = at / at.new_tensor([width, height]) - 1
        # Black outside the frame, as OpenCV's remap has it.
        sampled = F.grid_sample(source, grid, mode="bicubic", align_corners=False)
        warped, slope_x, slope_y = sampled.unbind(1)
        squared = slope_x.square() + slope_y.square()
        residual = warped - slope_x * flow[:, 0] - slope_y * flow[:, 1] - still
        inverse = torch.where(squared > MIN_GRADIENT, 1 / squared, 0)
        constants = [_flat(constant, rim=0) for constant in (slope_x, slope_y, residual, inverse)]
        flow = _solve(flow, dual, constants, masks, method, step)
    return flow


def _solve(
    flow: Tensor,
    dual: list[Tensor],
    constants: list[Tensor],
    masks: list[Tensor],
    method: TVL1,
    step: Callable[..., Tensor],
) -> Tensor:
    """Iterate after one warp until each pair has converged; `dual` is updated in place."""
    height, width = flow.shape[-2:]
    limit = method.epsilon**2 * height * width
    scalars = (method.lambda_ * method.theta, method.theta, method.tau / method.theta)
    result, left = torch.empty_like(flow), torch.arange(len(flow), device=flow.device)
    state = [*flow.unbind(1), *dual]
    for _ in range(method.outer_iterations):
        state[:2] = [_flat(_median(field, method.median), rim=width + 1) for field in state[:2]]
        for _ in range(method.inner_iterations):
            done = step(*state, *constants, *masks, *scalars) <= limit
            if not done.any():
                continue
            _put(state, done, left, result, dual)
            if done.all():
                return result
            state, constants = [x[~done] for x in state], [x[~done] for x in constants]
            left = left[~done]
        state[:2] = [_image(field, height, width) for field in state[:2]]
    state[:2] = [_flat(field, rim=width + 1) for field in state[:2]]
    _put(state, torch.ones_like(left, dtype=torch.bool), left, result, dual)
    return result


def _put(state: list[Tensor], done: Tensor, left: Tensor, flow: Tensor, dual: list[Tensor]) -> None:
    """Store the pairs of `state` that are done, which are the pairs `left[done]` of flow and dual."""
    height, width = flow.shape[-2:]
    for axis in range(2):
        flow[left[done], axis] = _image(state[axis][done], height, width)
    for whole, part in zip(dual, state[2:], strict=True):
        if whole is not part:
            whole[left[done]] = part[done]


def _step(
    u: Tensor,
    v: Tensor,
    u_x: Tensor,
    u_y: Tensor,
    v_x: Tensor,
    v_y: Tensor,
    slope_x: Tensor,
    slope_y: Tensor,
    residual: Tensor,
    inverse: Tensor,
    mask_x: Tensor,
    mask_y: Tensor,
    threshold: float,
    theta: float,
    rate: float,
) -> Tensor:
    """One iteration, in place: flow from the data and the divergence of the dual, then the dual.

    Separate tensors, not parts of one, compile to loops without a test inside.

    Args:
        u, v: the flow, (pairs, rim + size + rim), flat. u_x, u_y, v_x, v_y: its dual, the same.
        slope_x, slope_y, residual: of the warped frame, (pairs, size). inverse: 1 / squared slope.
        mask_x, mask_y: (size,), 0 where there is no next column or row.

    Returns:
        (pairs,) sum of squared changes of the flow.
    """
    size = residual.shape[-1]
    rim = (u.shape[-1] - size) // 2
    here, left, above = slice(rim, rim + size), slice(rim - 1, rim + size - 1), slice(0, size)
    right, below = slice(rim + 1, rim + size + 1), slice(2 * rim, 2 * rim + size)
    old_u, old_v = u[:, here], v[:, here]
    change = ((residual + slope_x * old_u + slope_y * old_v) * -inverse).clamp(-threshold, threshold)
    new_u = old_u + change * slope_x + theta * (u_x[:, here] - u_x[:, left] + u_y[:, here] - u_y[:, above])
    new_v = old_v + change * slope_y + theta * (v_x[:, here] - v_x[:, left] + v_y[:, here] - v_y[:, above])
    error = ((new_u - old_u).square() + (new_v - old_v).square()).sum(dim=1)
    u[:, here], v[:, here] = new_u, new_v
    for field, dual_x, dual_y in ((u, u_x, u_y), (v, v_x, v_y)):
        along_x = (field[:, right] - field[:, here]) * mask_x
        along_y = (field[:, below] - field[:, here]) * mask_y
        norm = 1 / (1 + rate * (along_x.square() + along_y.square()).sqrt())
        dual_x[:, here] = (dual_x[:, here] + rate * along_x) * norm
        dual_y[:, here] = (dual_y[:, here] + rate * along_y) * norm
    return error


@functools.cache
def _compiled_step() -> Callable[..., Tensor]:
    # It looks for CUDA even when it compiles for the CPU, and complains in every process.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    return torch.compile(_step, dynamic=True)


def _flat(images: Tensor, *, rim: int) -> Tensor:
    """(..., h, w) -> (..., rim + h * (w + 1) + rim), with a column of zeros after each row."""
    return F.pad(F.pad(images, (0, 1)).flatten(-2), (rim, rim))


def _image(flat: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `_flat` with rim width + 1."""
    return flat[..., width + 1 : -width - 1].view(*flat.shape[:-1], height, width + 1)[..., :width]


def _gradient(images: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and y; at the border half of the one-sided difference."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    along_x = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    along_y = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return along_x / 2, along_y / 2


def _median(images: Tensor, size: int) -> Tensor:
    """(pairs, h, w) median of size x size windows, borders replicated."""
    if size == 1:
        return images
    radius = size // 2
    padded = F.pad(images.unsqueeze(1), (radius, radius, radius, radius), mode="replicate")[:, 0]
    height, width = images.shape[-2:]
    shifts = [padded[:, i : i + height, j : j + width] for i in range(size) for j in range(size)]
    return torch.stack(shifts).median(dim=0).values
