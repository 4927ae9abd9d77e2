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
_SAME_SURFACE = 0.01
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

    Pairs whose guesses are within 1 % of each other say nothing; neither do those without a guess.
    The wanted distance is half of the guessed one, at most 2 %. Where a depth is known, it is what
    the other pixel is compared with, and not what the field shows there: bringing density nearer is
    easy for a field and taking it away is slow, so that pairs that both gave way both came nearer.

    Args:
        depth: (2 P,) rendered depth, pair after pair.
        guess: (2 P,) the guess, in any scale; 0 = none.
        known: (2 P,) known depth; 0 = unknown.

    Source: Wang et al., SparseNeRF, ICCV 2023.
    """
    shown = torch.where(known > 0, known, depth).view(-1, 2).clamp(min=1e-6).log()
    guesses = guess.view(-1, 2)
    gap = guesses.clamp(min=1e-6).log().diff(dim=1)[:, 0]
    says = (guesses > 0).all(dim=1) & (gap.abs() > _SAME_SURFACE)
    margin = (gap.abs() / 2).clamp(max=_RANK_MARGIN)
    wrong = functional.relu(margin - gap.sign() * shown.diff(dim=1)[:, 0])
    return (wrong * says).sum() / says.sum().clamp(min=1)


def continued_depth(guess: Tensor, known: Tensor) -> Tensor:
    """Return the depth of pixels that the guess has on one surface with a known pixel.

    The order alone leaves a hole in a wall free to hang before that wall. Where the guesses of a
    pair are within 1 % of each other and one depth is known, the other is that depth, continued by
    the guess; its scale does not matter.

    Args:
        guess: (2 P,) the guess, pair after pair, in any scale; 0 = none.
        known: (2 P,) known depth; 0 = unknown.

    Returns:
        (2 P,) depth; 0 where the pair does not tell it.

    Source: Wang et al., SparseNeRF, ICCV 2023 (spatial continuity).
    """
    guesses, depths = guess.view(-1, 2), known.view(-1, 2)
    partners = depths.flip(1) * guesses / guesses.flip(1).clamp(min=1e-6)
    gap = guesses.clamp(min=1e-6).log().diff(dim=1)
    tells = (guesses > 0).all(dim=1, keepdim=True) & (gap.abs() <= _SAME_SURFACE)
    return torch.where(tells & (depths <= 0), partners, torch.zeros_like(partners)).view(-1)


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
