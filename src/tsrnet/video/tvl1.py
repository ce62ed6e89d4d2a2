"""TV-L1 optical flow of one pair of frames on a CPU, coarse to fine.

The duality-based method of Zach, Pock, Bischof 2007 with the scheme and the defaults of OpenCV's
DualTVL1OpticalFlow (Sanchez, Meinhardt-Llopis, Facciolo 2013), so that networks trained on that flow
see the same. OpenCV passes over the image several times in an iteration. Here each row is finished while it
is in the cache. `tvl1_gpu` is the same for many pairs on a GPU.
"""

from __future__ import annotations

import functools
import math
from typing import Any, TypeAlias

import cv2
import numba
import numpy as np
import numpy.typing as npt

from tsrnet.video.flow_settings import TVL1

Image: TypeAlias = npt.NDArray[np.float32]

MIN_SIDE = 16
"""The shortest side of the smallest image of the pyramid, in pixels."""
MIN_GRADIENT = 1.1920929e-07
"""Below this squared slope, the data say nothing of the flow."""


def _compiled(function: Any) -> Any:
    # `error_model`: no test for a division by zero, which would keep the loops from being vectorized.
    compiler = functools.partial(numba.njit, nogil=True, fastmath=True, error_model="numpy")
    try:
        return compiler(cache=True)(function)
    except RuntimeError:  # there is no folder that can be written to; compiling takes two seconds
        return compiler()(function)


def tvl1_flow(first: npt.NDArray[Any], second: npt.NDArray[Any], method: TVL1) -> Image:
    """Flow from the first frame to the second one.

    Args:
        first, second: (h, w) grey values of 0 to 255, any dtype.
        method: the parameters.

    Returns:
        (2, h, w) float32 pixels, x then y.
    """
    pyramid: list[list[Any]] = [[np.asarray(frame, np.float32) for frame in (first, second)]]
    while len(pyramid) < method.scales:
        step = method.scale_step
        smaller = [cv2.resize(frame, None, fx=step, fy=step) for frame in pyramid[-1]]
        if min(smaller[0].shape) < MIN_SIDE:
            break
        pyramid.append(smaller)
    flow = np.zeros((2, *pyramid[-1][0].shape), np.float32)
    for level, (still, moving) in reversed(list(enumerate(pyramid))):
        flow = _one_scale(still, moving, flow, method)
        if level:
            height, width = pyramid[level - 1][0].shape
            larger = [cv2.resize(np.ascontiguousarray(field), (width, height)) for field in flow]
            flow = np.stack(larger) / np.float32(method.scale_step)
    return flow


def _one_scale(still: Image, moving: Image, flow: Image, method: TVL1) -> Image:
    """Refine (2, h, w) flow at one level of the pyramid; frames (h, w)."""
    height, width = still.shape
    source = np.dstack([moving, *_gradient(moving)])
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    fields = np.pad(flow, ((0, 0), (0, 0), (0, 1)))
    dual = np.zeros((4, height + 1, width + 1), np.float32)
    scalars = map(np.float32, (method.lambda_ * method.theta, method.theta, method.tau / method.theta))
    settings = (*scalars, method.epsilon**2 * height * width, method.inner_iterations)
    for _ in range(method.warps):
        u, v = fields[..., :width]
        warped: Any = cv2.remap(source, columns + u, rows + v, cv2.INTER_CUBIC)  # black outside the frame
        data = _linearized(warped, still, u, v)
        for _ in range(method.outer_iterations):
            if method.median > 1:
                for field in fields[..., :width]:
                    field[:] = cv2.medianBlur(np.ascontiguousarray(field), method.median)
            if _iterate(fields, dual, data, *settings):
                break
    return fields[..., :width]


def _gradient(image: Image) -> tuple[Image, Image]:
    """Central differences along x and y; at the border half of the one-sided difference."""
    padded = np.pad(image, 1, mode="edge")
    along_x, along_y = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    return np.float32(0.5) * along_x, np.float32(0.5) * along_y


@_compiled
def _linearized(warped: Image, still: Image, u: Image, v: Image) -> Image:
    """(4, h, w): slope along x and y, residual at zero flow, and 1 / squared slope."""
    height, width = still.shape
    data = np.empty((4, height, width), np.float32)
    for y in range(height):
        for x in range(width):
            value, slope_x, slope_y = warped[y, x]
            squared = slope_x * slope_x + slope_y * slope_y
            data[0, y, x], data[1, y, x] = slope_x, slope_y
            data[2, y, x] = value - slope_x * u[y, x] - slope_y * v[y, x] - still[y, x]
            data[3, y, x] = np.float32(1) / squared if squared > MIN_GRADIENT else np.float32(0)
    return data


@_compiled
def _iterate(
    fields: Image,
    dual: Image,
    data: Image,
    threshold: np.float32,
    theta: np.float32,
    rate: np.float32,
    limit: float,
    iterations: int,
) -> bool:
    """Iterate in place: flow from the data and the divergence of the dual, then the dual from the flow.

    Args:
        fields: (2, h, w + 1) flow; the last column repeats the one before, where nothing changes along x.
        dual: (4, h + 1, w + 1) of u along x and y, of v along x and y; the first row and column stay 0.
        data: (4, h, w), see `_linearized`.

    Returns:
        Whether the sum of the squared changes came down to the limit.
    """
    height, width = data.shape[1:]
    change = np.empty(width, np.float32)
    for _ in range(iterations):
        error = 0.0
        for y in range(height + 1):
            if y < height:
                _data_row(change, fields[0, y], fields[1, y], data[:, y], threshold)
                for i in range(2):
                    along_x, along_y, above = dual[2 * i, y + 1], dual[2 * i + 1, y + 1], dual[2 * i + 1, y]
                    error += _flow_row(fields[i, y], along_x, along_y, above, change, data[i, y], theta)
            if y > 0:  # the row before, now that the flow below it is known
                below = min(y, height - 1)
                for i in range(2):
                    _dual_row(fields[i, y - 1], fields[i, below], dual[2 * i, y], dual[2 * i + 1, y], rate)
        if error <= limit:
            return True
    return False


@_compiled
def _data_row(change: Image, u: Image, v: Image, data: Image, threshold: np.float32) -> None:
    slope_x, slope_y, residual, inverse = data[0], data[1], data[2], data[3]
    for x in range(len(change)):
        wanted = -(residual[x] + slope_x[x] * u[x] + slope_y[x] * v[x]) * inverse[x]
        change[x] = min(max(wanted, -threshold), threshold)


@_compiled
def _flow_row(
    field: Image,
    along_x: Image,
    along_y: Image,
    above: Image,
    change: Image,
    slope: Image,
    theta: np.float32,
) -> np.float32:
    width = len(change)
    error: np.float32 = np.float32(0)
    for x in range(width):
        divergence = along_x[x + 1] - along_x[x] + along_y[x + 1] - above[x + 1]
        step = change[x] * slope[x] + theta * divergence
        field[x] += step
        error += step * step
    field[width] = field[width - 1]
    return error


@_compiled
def _dual_row(field: Image, below: Image, dual_x: Image, dual_y: Image, rate: np.float32) -> None:
    one = np.float32(1)
    for x in range(len(field) - 1):
        along_x, along_y = field[x + 1] - field[x], below[x] - field[x]
        norm = one / (one + rate * math.sqrt(along_x * along_x + along_y * along_y))
        dual_x[x + 1] = (dual_x[x + 1] + rate * along_x) * norm
        dual_y[x + 1] = (dual_y[x + 1] + rate * along_y) * norm
