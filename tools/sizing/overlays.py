"""What each overlay holds of a cluster, day and night, and what that costs at the operator's prices."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tools.sizing.inputs import Demand, SceneCost
from tools.sizing.model import DA3, DAY_H, MONTH_DAYS, NERFILLER, Plan, plan

_HPA_TARGET = 0.6  # k8s/components/hpa
_KEDA_TARGET = 0.8  # pods are there while work waits, and a cooldown longer
_QUOTA_BUSY = 0.9  # of the GPUs that Kueue may give, over the day
_DEPTH_SLICE, _RUN_SLICE = 2 / 7, 3 / 7  # k8s/overlays/gpu-mig, of an 80 GB card


@dataclass(frozen=True, slots=True)
class Prices:
    """What the operator pays, in one currency; 0 where it costs nothing.

    Attributes:
        gpu_hour: of one GPU with its node's share.
        cpu_hour: of one core with its memory.
        gb_month: of the bucket and of the database's disk.
        egress_gb: of what leaves for viewers.
    """

    gpu_hour: float = 0.0
    cpu_hour: float = 0.0
    gb_month: float = 0.0
    egress_gb: float = 0.0

    def __post_init__(self) -> None:
        for name in ("gpu_hour", "cpu_hour", "gb_month", "egress_gb"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")


@dataclass(frozen=True, slots=True)
class Held:
    """What an overlay holds.

    Attributes:
        overlay: its name.
        gpu_h: GPU-hours in a day, whether they work or not.
        core_h: core-hours in a day, the same.
        kept_gb: in bucket and database, when as much goes as comes.
        egress_gb: to viewers in a month.
    """

    overlay: str
    gpu_h: float
    core_h: float
    kept_gb: float
    egress_gb: float

    def month(self, prices: Prices) -> float:
        """Return the cost of a month of 30 days."""
        hours = self.gpu_h * prices.gpu_hour + self.core_h * prices.cpu_hour
        return (
            hours * MONTH_DAYS + self.kept_gb * prices.gb_month + self.egress_gb * prices.egress_gb
        )


def held_by_overlays(demand: Demand, scene: SceneCost) -> list[Held]:
    """Reckon what every overlay holds for the same scenes."""
    on_cpu = replace(demand, depth="mvs", completion="fusion")
    on_gpu = replace(demand, depth="da3", completion="nerfiller")
    cpu, gpu = plan(on_cpu, scene), plan(on_gpu, scene)
    return [
        _held("cpu", cpu, 0.0, _HPA_TARGET),
        _held("keda", cpu, 0.0, _KEDA_TARGET),
        _held("gpu", gpu, gpu.gpus * DAY_H, 1.0),
        _held("gpu, its nodes come and go", gpu, _comes_and_goes(gpu), 1.0),
        _held("gpu-mig", *_on_slices(on_gpu, scene), 1.0),
        _held("kueue", gpu, _queued(gpu) * DAY_H, 1.0),
    ]


def _held(overlay: str, needs: Plan, gpu_h: float, target: float) -> Held:
    """Count cores: those that must always be there, and the others while they work."""
    always = needs.gateways + sum(
        s.cores for s in needs.slots if not s.on_gpu
    )  # one slot of each kind
    core_h = max(always * DAY_H, needs.gateways * DAY_H + needs.cpu_h / target)
    if target == 1.0:  # nothing scales: the busiest hour's pods, all day
        core_h = needs.cores * DAY_H
    return Held(overlay, gpu_h, core_h, needs.kept_gb + needs.database_gb, needs.egress_gb)


def _slots_of(needs: Plan, work: str) -> int:
    return sum(s.pool.servers for s in needs.slots if s.work == work)


def _comes_and_goes(needs: Plan) -> float:
    """Depth keeps its GPUs; a run's node lives as long as the run."""
    runs_h = sum(s.busy_h for s in needs.slots if s.work == NERFILLER)
    return _slots_of(needs, DA3) * DAY_H + runs_h


def _queued(needs: Plan) -> int:
    """Runs wait for the night instead of for more GPUs."""
    runs_h = sum(s.busy_h for s in needs.slots if s.work == NERFILLER)
    return _slots_of(needs, DA3) + math.ceil(runs_h / DAY_H / _QUOTA_BUSY)


def _on_slices(demand: Demand, scene: SceneCost) -> tuple[Plan, float]:
    """Slices are taken to be slower by as much as they are smaller."""
    assumed = demand.assumed
    slower = replace(
        assumed,
        da3_gpu_s=assumed.da3_gpu_s / _DEPTH_SLICE,
        nerfiller_gpu_min=assumed.nerfiller_gpu_min / _RUN_SLICE,
    )
    needs = plan(replace(demand, assumed=slower), scene)
    cards = math.ceil(
        _slots_of(needs, DA3) * _DEPTH_SLICE + _slots_of(needs, NERFILLER) * _RUN_SLICE
    )
    return needs, cards * DAY_H
