"""What the field is taught beside colour; every function returns a scalar.

R rays, S samples on each; distances are along the ray, depths along the optical axis.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_BAND_START, _BAND_END = 0.2, 0.05
_RANK_MARGIN = 0.02
_RANK_MIN_GAP = 0.01
_SCALES = (1, 2)


def color_loss(predicted: Tensor, wanted: Tensor, valid: Tensor) -> Tensor:
    """Mean squared error of (R, 3) colours over the (R,) rays whose colour is known or painted."""
    error = ((predicted - wanted) ** 2).mean(dim=1)
    return (error * valid).sum() / valid.sum().clamp(min=1)


def depth_loss(
    distance: Tensor,
    weights: Tensor,
    middles: Tensor,
    wanted: Tensor,
    confidence: Tensor,
    progress: float,
) -> Tensor:
    """Pull the ray's weight to the known surface, relative to its distance.

    The logarithm of the expected distance is compared, so that near and far count alike whatever
    the scene's scale; and the weight outside a band around the surface, which narrows from 20 % to
    5 % of the distance, is pressed to zero, so that it does not come out as an average.

    Args:
        distance: (R,) expected distance.
        weights: (R, S) of the samples.
        middles: (R, S) distances of the samples.
        wanted: (R,) known distance; 0 = unknown.
        confidence: (R,) in 0..1.
        progress: 0 to 1, of the run.
    """
    known = (wanted > 0).to(distance.dtype) * confidence
    safe = wanted.clamp(min=1e-6)
    error = functional.smooth_l1_loss(
        distance.clamp(min=1e-6).log(), safe.log(), beta=0.05, reduction="none"
    )
    band = _BAND_START + (_BAND_END - _BAND_START) * min(max(progress, 0.0), 1.0)
    inside = ((middles - safe[:, None]).abs() <= band * safe[:, None]).to(weights.dtype)
    astray = (1 - (weights * inside).sum(dim=1)) ** 2
    return ((error + astray) * known).sum() / known.sum().clamp(min=1e-6)


def rank_loss(depth: Tensor, guess: Tensor, known: Tensor) -> Tensor:
    """Ask pairs of pixels in and around a hole to have the order of depth that the guess has.

    Pairs whose guesses are more than 1 % apart must be apart in that order, by half of the gap or
    2 %; pairs that the guess has on one surface must be within 1 % of each other, else nothing
    would hold a hole in a wall on that wall. Where a pixel's depth is known, only its partner is
    moved: bringing density nearer is easy for a field and taking it away is slow, so that known
    surfaces that gave way, and rays that were free to, all came nearer.

    Args:
        depth: (2 P,) rendered depth, pair after pair.
        guess: (2 P,) the guess, in any scale; 0 = none, and the pair says nothing.
        known: (2 P,) True where the depth is known.

    Source: Wang et al., SparseNeRF, ICCV 2023 (depth ranking and spatial continuity).
    """
    logs = depth.clamp(min=1e-6).log()
    first, second = torch.where(known, logs.detach(), logs).view(-1, 2).unbind(1)
    ours = second - first
    guesses = guess.view(-1, 2)
    gap = guesses[:, 1].clamp(min=1e-6).log() - guesses[:, 0].clamp(min=1e-6).log()
    says = (guesses > 0).all(dim=1)
    margin = (gap.abs() / 2).clamp(max=_RANK_MARGIN)
    disorder = functional.relu(margin - gap.sign() * ours)
    break_ = functional.relu((ours - gap).abs() - _RANK_MIN_GAP)
    wrong = disorder.where(gap.abs() > _RANK_MIN_GAP, break_)
    return (wrong * says).sum() / says.sum().clamp(min=1)


def opacity_loss(accumulation: Tensor, solid: Tensor) -> Tensor:
    """Ask the (R,) rays that must hit something to do so; colour alone can come from far behind."""
    return (((1 - accumulation) ** 2) * solid).sum() / solid.sum().clamp(min=1)


def free_space_loss(density: Tensor, step_length: Tensor) -> Tensor:
    """Ask for emptiness: the mean opacity of (R,) densities over (R,) lengths.

    The points lie between a camera and the surface that it is known to see. A floater that one
    view hides its hole behind stands, nearly always, in another view's known free space.
    """
    return (1 - torch.exp(-density * step_length)).mean()


def structure_loss(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Compare (K, 3, P, P) patches by their gradients at two scales; needs no weights."""
    total = predicted.new_zeros(())
    for scale in _SCALES:
        ours, theirs = (functional.avg_pool2d(p, scale) for p in (predicted, wanted))
        for axis in (2, 3):
            total = total + (ours.diff(dim=axis) - theirs.diff(dim=axis)).abs().mean()
    return total / (2 * len(_SCALES))


def lpips_loss(network: Any, predicted: Tensor, wanted: Tensor) -> Tensor:
    """Compare (K, 3, P, P) patches in 0..1 by LPIPS."""
    distance: Tensor = network(predicted.clamp(0, 1), wanted.clamp(0, 1), normalize=True)
    return distance.mean()
