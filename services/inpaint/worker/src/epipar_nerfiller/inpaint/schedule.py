"""How strongly and in how many steps views are repainted."""

from __future__ import annotations


def annealed_strength(progress: float, start: float = 1.0, end: float = 0.4) -> float:
    """Return the strength of an update: from `start` to `end`, linear in the share of updates done.

    Args:
        progress: 0 at the first update, 1 at the last; clamped.
        start: strength of the first, 1 ignores what the view showed.
        end: strength of the last.
    """
    share = min(max(progress, 0.0), 1.0)
    return start + (end - start) * share


def steps_of_strength(strength: float, steps: int) -> int:
    """Return how many of `steps` denoising steps a strength takes: at least 1, all of them at 1.

    Raises:
        ValueError: strength is not above 0 and at most 1, or steps is below 1.
    """
    if not 0 < strength <= 1:
        raise ValueError(f"strength is {strength}; it must be above 0 and at most 1")
    if steps < 1:
        raise ValueError(f"steps is {steps}; it must be at least 1")
    return max(1, min(steps, round(strength * steps)))
