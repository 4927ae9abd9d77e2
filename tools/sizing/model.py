"""From what is asked to what it needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tools.sizing.inputs import Demand, SceneCost
from tools.sizing.queueing import Pool, pool_for

DAY_H = 24.0
MONTH_DAYS = 30.0
APP_BYTES = 220_000
"""Of the viewer's own files, at most, compressed (DESIGN, section 8)."""

DEPTH, EXPORT, FUSION = "depth, mvs", "export", "completion, fusion"
DA3, NERFILLER = "depth, da3", "completion, nerfiller"

# Cores and GiB that one slot asks for: k8s/base, a pod's requests over its MAX_STREAMS.
SLOT = {DEPTH: (2.0, 4.0), EXPORT: (1.0, 1.0), FUSION: (1.0, 1.0)}
_GATEWAY_CORES, _ENVOY_CORES, _DOOR_GIB = 0.5, 0.5, 0.5
_CONNECTIONS = 23  # of one gateway replica at work (docs/operate/postgres-and-s3.md)


@dataclass(frozen=True, slots=True)
class Slots:
    """One kind of work and the slots that it needs.

    Attributes:
        work: what is done.
        pool: slots, load and waits in the busiest hour.
        on_gpu: whether each slot holds a GPU.
        busy_h: slot-hours of a day in which work is done.
        cores: that one slot asks for on a node without a GPU.
        gib: the same of memory.
    """

    work: str
    pool: Pool
    on_gpu: bool
    busy_h: float
    cores: float
    gib: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a number of scenes a day needs.

    Attributes:
        slots: by kind of work.
        gateways: replicas of the gateway, and of Envoy.
        cores: that all pods without a GPU ask for in the busiest hour.
        nodes: for them.
        gpus: in the busiest hour.
        cpu_h: core-hours of work in a day.
        gpu_h: GPU-hours of work in a day.
        day_gb: that the bucket grows by in a day.
        kept_gb: in the bucket when as much goes as comes.
        objects: there, then.
        database_gb: of PostgreSQL, then, with room for bloat.
        database_connections: of all replicas.
        event_writes_per_s: transactions of progress in the busiest hour.
        egress_gb: to viewers in a month.
    """

    slots: tuple[Slots, ...]
    gateways: int
    cores: float
    nodes: int
    gpus: int
    cpu_h: float
    gpu_h: float
    day_gb: float
    kept_gb: float
    objects: float
    database_gb: float
    database_connections: int
    event_writes_per_s: float
    egress_gb: float


def plan(demand: Demand, scene: SceneCost) -> Plan:
    """Reckon what a demand needs."""
    slots = _slots(demand, scene)
    completed = demand.scenes_per_day * demand.completed_share
    jobs = demand.scenes_per_day + completed
    writes_per_s = jobs / DAY_H / 3600 * demand.peak * scene.job_rows
    gateways = max(2, math.ceil(writes_per_s / demand.assumed.writes_per_gateway_s))
    cores = sum(s.cores * s.pool.servers for s in slots if not s.on_gpu)
    gib = sum(s.gib * s.pool.servers for s in slots if not s.on_gpu)
    cores += gateways * (_GATEWAY_CORES + _ENVOY_CORES)
    gib += gateways * 2 * _DOOR_GIB
    usable = demand.assumed.node_usable
    scene_gb = sum(scene.scene_bytes.values()) / 1e9
    completed_gb = sum(scene.completed_bytes.values()) / 1e9
    day_gb = demand.scenes_per_day * scene_gb + completed * completed_gb
    uploads_gb = demand.scenes_per_day * demand.upload_days * demand.assumed.upload_mb / 1e3
    job_gb = scene.job_bytes / 1e9 * demand.assumed.bloat
    return Plan(
        slots=slots,
        gateways=gateways,
        cores=cores,
        nodes=max(
            math.ceil(cores / (demand.node_cores * usable)),
            math.ceil(gib / (demand.node_gib * usable)),
        ),
        gpus=sum(s.pool.servers for s in slots if s.on_gpu),
        cpu_h=sum(s.busy_h * s.cores for s in slots if not s.on_gpu),
        gpu_h=sum(s.busy_h for s in slots if s.on_gpu),
        day_gb=day_gb,
        kept_gb=day_gb * demand.keep_days + uploads_gb,
        # half of a completed scene's objects are the completion's
        objects=(demand.scenes_per_day + completed) / 2 * demand.keep_days * scene.objects,
        database_gb=jobs * demand.job_days * job_gb,
        database_connections=gateways * _CONNECTIONS,
        event_writes_per_s=writes_per_s,
        egress_gb=demand.scenes_per_day
        * MONTH_DAYS
        * demand.views_per_scene
        * (scene.bytes_to_view + APP_BYTES)
        / 1e9,
    )


def _slots(demand: Demand, scene: SceneCost) -> tuple[Slots, ...]:
    assumed = demand.assumed
    one, other = scene.reconstruction_cpu_s, scene.completion_cpu_s
    found = []
    if demand.depth == "mvs":
        found.append(_on_cpu(demand, DEPTH, demand.scenes_per_day, one["depth"]))
    else:
        hours = assumed.da3_gpu_s * scene.frames / 3600
        found.append(_on_gpu(demand, DA3, demand.scenes_per_day, hours))
    completed = demand.scenes_per_day * demand.completed_share
    exported_s = (one["export"] * demand.scenes_per_day + other.get("export", 0.0) * completed) / (
        demand.scenes_per_day + completed
    )
    found.append(_on_cpu(demand, EXPORT, demand.scenes_per_day + completed, exported_s))
    if completed and demand.completion == "fusion":
        found.append(_on_cpu(demand, FUSION, completed, other["inpaint"]))
    elif completed:
        # Masks and the depth that guides it come from the CPU, before the run.
        found.append(_on_cpu(demand, FUSION, completed, other["inpaint"]))
        found.append(_on_gpu(demand, NERFILLER, completed, assumed.nerfiller_gpu_min / 60))
    return tuple(found)


def _on_cpu(demand: Demand, work: str, per_day: float, cpu_s: float) -> Slots:
    cores, gib = SLOT[work]
    hours = cpu_s / (cores * demand.assumed.efficiency) / 3600
    return _made(demand, work, per_day, hours, on_gpu=False, needs=(cores, gib))


def _on_gpu(demand: Demand, work: str, per_day: float, hours: float) -> Slots:
    needs = (0.0, 0.0)  # its cores are the GPU node's own
    return _made(demand, work, per_day, hours, on_gpu=True, needs=needs)


def _made(
    demand: Demand,
    work: str,
    per_day: float,
    hours: float,
    *,
    on_gpu: bool,
    needs: tuple[float, float],
) -> Slots:
    pool = pool_for(per_day / DAY_H * demand.peak, hours, demand.wait_min / 60)
    return Slots(work, pool, on_gpu, per_day * hours, *needs)
