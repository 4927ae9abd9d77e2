"""Plans as tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tools.sizing.inputs import Demand, SceneCost
from tools.sizing.model import Plan, Slots
from tools.sizing.overlays import Prices, held_by_overlays


def plan_table(demand: Demand, plans: dict[str, Plan]) -> str:
    """Return what a demand needs, a column for each way to meet it."""
    works = list(dict.fromkeys(s.work for needs in plans.values() for s in needs.slots))
    rows = [
        *([work, *(_slots_cell(needs, work) for needs in plans.values())] for work in works),
        _row(f"GPUs, in the busiest hour ({demand.peak:g} times the average)", plans, _gpus),
        _row("GPU-hours of work a day", plans, lambda p: number(p.gpu_h)),
        _row("core-hours of work a day, without GPU nodes", plans, lambda p: number(p.cpu_h)),
        _row("gateways, and Envoys", plans, lambda p: str(p.gateways)),
        _row(
            f"nodes of {demand.node_cores} cores and {demand.node_gib} GiB (cores asked for)",
            plans,
            lambda p: f"{p.nodes} ({number(p.cores)})",
        ),
        _row("bucket grows a day by", plans, lambda p: size(p.day_gb)),
        _row(
            f"bucket when scenes go after {demand.keep_days:g} days",
            plans,
            lambda p: f"{size(p.kept_gb)}, {number(p.objects)} objects",
        ),
        _row(
            f"PostgreSQL, jobs kept {demand.job_days:g} days",
            plans,
            lambda p: f"{size(p.database_gb)}, {p.database_connections} connections",
        ),
        _row(
            "rows written a second, in the busiest hour",
            plans,
            lambda p: number(p.event_writes_per_s),
        ),
        _row("to viewers a month", plans, lambda p: size(p.egress_gb)),
    ]
    head = f"{demand.scenes_per_day:,.10g} scenes a day".replace(",", " ")
    return table([head, *plans], rows)


def cost_table(demand: Demand, scene: SceneCost, prices: Prices) -> str:
    """Return what each overlay holds, and its cost where there is any price."""
    has_price = prices != Prices()
    head = ["overlay", "GPU-hours a day", "core-hours a day", "kept", "to viewers a month"]
    rows = [
        [
            held.overlay,
            number(held.gpu_h),
            number(held.core_h),
            size(held.kept_gb),
            size(held.egress_gb),
            *([number(held.month(prices))] if has_price else []),
        ]
        for held in held_by_overlays(demand, scene)
    ]
    return table([*head, *(["cost a month"] if has_price else [])], rows)


def scene_table(scenes: dict[str, SceneCost]) -> str:
    """Return what was measured of each scene."""
    first = next(iter(scenes.values()))
    kinds = list(dict.fromkeys(k for s in scenes.values() for k in s.scene_bytes))
    added = list(dict.fromkeys(k for s in scenes.values() for k in s.completed_bytes))
    services = list(first.reconstruction_cpu_s)
    rows = [["frames", *(str(s.frames) for s in scenes.values())]]
    rows.append(["megapixels", *(f"{s.pixels / 1e6:.2f}" for s in scenes.values())])
    for name in services:
        cells = (_cpu(s, name) for s in scenes.values())
        rows.append([f"{name}, CPU-s (reconstruct + complete)", *cells])
    rows += [
        [f"{name}, MB", *(_mb(s.scene_bytes.get(name, 0)) for s in scenes.values())]
        for name in kinds
    ]
    for name in added:
        cells = (_mb(s.completed_bytes.get(name, 0)) for s in scenes.values())
        rows.append([f"{name}, MB", *cells])
    for title, what in (("reconstruction", "scene_bytes"), ("completion", "completed_bytes")):
        cells = (_mb(sum(getattr(s, what).values())) for s in scenes.values())
        rows.append([f"**{title} in all, MB**", *cells])
    rows.append(["objects in the bucket", *(f"{s.objects:.0f}" for s in scenes.values())])
    rows.append(["rows a job in PostgreSQL", *(f"{s.job_rows:.0f}" for s in scenes.values())])
    rows.append(["kB a job, packed", *(f"{s.job_bytes / 1e3:.0f}" for s in scenes.values())])
    return table(["measured", *scenes], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; the first column is text, the others are numbers."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Return a number with two digits that count, and spaces between thousands."""
    if value == 0:
        return "0"
    digits = max(0, 1 - math.floor(math.log10(abs(value))))
    rounded = round(value, 1 - math.floor(math.log10(abs(value)))) if value >= 100 else value
    return f"{rounded:,.{min(digits, 3)}f}".replace(",", " ")


def size(gb: float) -> str:
    """Return an amount of bytes in a unit that fits."""
    for unit, scale in (("PB", 1e6), ("TB", 1e3), ("GB", 1.0)):
        if gb >= scale:
            return f"{number(gb / scale)} {unit}"
    return f"{number(gb * 1e3)} MB"


def _row(title: str, plans: dict[str, Plan], cell: Callable[[Plan], str]) -> list[str]:
    return [title, *(cell(needs) for needs in plans.values())]


def _gpus(needs: Plan) -> str:
    return str(needs.gpus)


def _slots_cell(needs: Plan, work: str) -> str:
    found: list[Slots] = [s for s in needs.slots if s.work == work]
    if not found:
        return "-"
    pool = found[0].pool
    word = "GPU" if found[0].on_gpu else "slot"
    plural = "" if pool.servers == 1 else "s"
    return (
        f"{pool.servers} {word}{plural}, {_minutes(pool.service_h)} each, "
        f"{pool.utilisation:.0%} busy, 95 of 100 wait < {_minutes(pool.wait_h(0.95))}"
    )


def _minutes(hours: float) -> str:
    return f"{hours * 60:.1f} min"


def _cpu(scene: SceneCost, service: str) -> str:
    one = scene.reconstruction_cpu_s.get(service, 0.0)
    return f"{one:.0f} + {scene.completion_cpu_s.get(service, 0.0):.0f}"


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.1f}"
