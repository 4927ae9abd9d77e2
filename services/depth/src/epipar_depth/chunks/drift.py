"""How well a long video held together, in numbers that go into scene.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, slots=True)
class JointFigures:
    """One chunk's joint with the world before it.

    Attributes:
        first: first frame of the chunk.
        new: its first new frame.
        method: what aligned it; "start" for the first chunk.
        inlier_share: of the overlap's weight, what agrees.
        residual: median distance of the overlap's points over their depth.
        turn_deg: median angle between both answers' cameras.
        shift: median distance of their centres over depth.
        scale_step: log of the chunk's scale over that of the chunk before.
    """

    first: int
    new: int
    method: Literal["start", "points", "cameras"]
    inlier_share: float
    residual: float
    turn_deg: float
    shift: float
    scale_step: float


@dataclass(frozen=True, slots=True)
class LoopFigures:
    """Two visits of one place.

    Attributes:
        first: frame of the first visit.
        second: frame of the second.
        matches: features of both pictures that one geometry explains.
        residual: the worse of the two fits of the joint chunk, over depth.
        error_before: how far the second visit was from where the first says, over depth.
        error_after: the same after correction.
        turn_before_deg: the same as an angle.
        turn_after_deg: the same after correction.
        scale_before: the same as the log of scale.
        scale_after: the same after correction.
        trust: 0..1 how far the pose graph believed it.
    """

    first: int
    second: int
    matches: int
    residual: float
    error_before: float
    error_after: float
    turn_before_deg: float
    turn_after_deg: float
    scale_before: float
    scale_after: float
    trust: float


@dataclass(frozen=True, slots=True)
class DriftFigures:
    """All joints and loops of one video.

    Attributes:
        joints: one for each chunk, in order.
        loops: one for each loop that was measured.
        out_of_memory: how often the chunk had to be halved.
    """

    joints: tuple[JointFigures, ...]
    loops: tuple[LoopFigures, ...] = ()
    out_of_memory: int = 0

    def metrics(self) -> dict[str, float]:
        """Return the figures as SceneInfo.metrics takes them; what there is none of is left out."""
        result = {"chunks": float(len(self.joints)), "chunk_halvings": float(self.out_of_memory)}
        later = [joint for joint in self.joints if joint.method != "start"]
        if later:
            steps = [abs(joint.scale_step) for joint in later]
            residuals = [joint.residual for joint in later]
            result |= {
                "joint_inlier_share_least": min(joint.inlier_share for joint in later),
                "joint_residual_median": float(np.median(residuals)),
                "joint_residual_most": max(residuals),
                "joint_turn_most_deg": max(joint.turn_deg for joint in later),
                "joint_shift_most": max(joint.shift for joint in later),
                "joint_scale_step_most": max(steps),
                "joints_by_cameras": float(sum(joint.method == "cameras" for joint in later)),
            }
        believed = [loop for loop in self.loops if loop.trust > 0.1]
        result |= {"loops_measured": float(len(self.loops)), "loops_closed": float(len(believed))}
        if believed:
            result |= {
                "loop_error_before": max(loop.error_before for loop in believed),
                "loop_error_after": max(loop.error_after for loop in believed),
                "loop_turn_before_deg": max(loop.turn_before_deg for loop in believed),
                "loop_turn_after_deg": max(loop.turn_after_deg for loop in believed),
                "loop_scale_before": max(abs(loop.scale_before) for loop in believed),
                "loop_scale_after": max(abs(loop.scale_after) for loop in believed),
            }
        return result
