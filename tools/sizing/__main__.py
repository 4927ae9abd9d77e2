"""Says what a number of scenes a day needs.

    python -m tools.sizing --scenes-per-day 100
    python -m tools.sizing --scenes-per-day 100 --frames 300 --megapixels 0.9 --completed-share 1
    python -m tools.sizing --scenes-per-day 100 --gpu-hour 2.5 --cpu-hour 0.05 --gb-month 0.02

CPU-seconds, bytes and rows were measured on the sample clip (benchmarks/sizing), and are scaled by frames and pixels. What a GPU takes nobody has measured here: give your own figures
with --da3-gpu-seconds and --nerfiller-gpu-minutes. Slots are what works at once: a pod's MAX_STREAMS
times its replicas, or a run's Job. Their number is the smallest at which, in the busiest hour, 95 of
100 jobs begin each step within --wait-minutes (M/M/c). Docs: docs/operate/sizing.md.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tools.sizing.inputs import Assumed, Demand, measured_clips, measured_scene
from tools.sizing.model import plan
from tools.sizing.overlays import Prices
from tools.sizing.report import cost_table, plan_table, scene_table

DOCS = Path(__file__).resolve().parents[2] / "docs/operate"
BLOCK = re.compile(
    r"(<!-- python -m tools\.sizing (?P<arguments>[^\n]*) -->\n)(?P<tables>.*?)(?=<!-- end -->)",
    re.DOTALL,
)
"""A table in a document, with the command that prints it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.write_docs:
            for path in sorted(DOCS.glob("*.md")):
                text = path.read_text()
                if (fresh := refreshed(text)) != text:
                    path.write_text(fresh)
        else:
            print(tables(options), end="")
    except ValueError as error:
        print(f"tools.sizing: {error}", file=sys.stderr)
        return 2
    return 0


def refreshed(text: str) -> str:
    """Return a document with its tables as they are printed now."""

    def fresh(match: re.Match[str]) -> str:
        options = _parser().parse_args(shlex.split(match["arguments"]))
        return f"{match[1]}\n{tables(options)}\n"

    return BLOCK.sub(fresh, text)


def tables(options: argparse.Namespace) -> str:
    """Return the tables that were asked for.

    Raises:
        ValueError: a number is out of its bounds.
    """
    if options.measured:
        return scene_table({clip: measured_scene(clip) for clip in measured_clips()})
    scene = measured_scene(options.clip)
    frames = options.frames or scene.frames
    scene = scene.scaled(frames, options.megapixels or scene.pixels / 1e6)
    prices = Prices(options.gpu_hour, options.cpu_hour, options.gb_month, options.egress_gb)
    printed = []
    for per_day in options.scenes_per_day:
        demand = _demand(options, per_day)
        if options.costs or prices != Prices():
            printed.append(cost_table(demand, scene, prices))
            continue
        ways = {
            "cpu: mvs, fusion": replace(demand, depth="mvs", completion="fusion"),
            "gpu: da3, NeRFiller": replace(demand, depth="da3", completion="nerfiller"),
        }
        printed.append(
            plan_table(demand, {name: plan(asked, scene) for name, asked in ways.items()})
        )
    return "\n".join(printed)


def _demand(options: argparse.Namespace, per_day: float) -> Demand:
    return Demand(
        per_day,
        completed_share=options.completed_share,
        peak=options.peak,
        wait_min=options.wait_minutes,
        views_per_scene=options.views,
        keep_days=options.keep_days,
        job_days=options.job_days,
        node_cores=options.node_cores,
        node_gib=options.node_gib,
        assumed=Assumed(
            da3_gpu_s=options.da3_gpu_seconds,
            nerfiller_gpu_min=options.nerfiller_gpu_minutes,
            upload_mb=options.upload_mb,
        ),
    )


def _parser() -> argparse.ArgumentParser:
    asked = Demand(1)
    parser = argparse.ArgumentParser(
        prog="python -m tools.sizing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--scenes-per-day", type=float, nargs="+", default=[100.0], metavar="N")
    group = parser.add_argument_group("one scene")
    add = group.add_argument
    add("--clip", default="sample", help="measured clip to scale from; default %(default)s")
    add("--frames", type=int, help="frames of a scene; default: the clip's (60)")
    add("--megapixels", type=float, help="of an image; default: the clip's (0.31 is 640x480)")
    add(
        "--completed-share",
        type=float,
        default=asked.completed_share,
        metavar="S",
        help="of the scenes, 0 to 1; default %(default)s",
    )
    add(
        "--views",
        type=float,
        default=asked.views_per_scene,
        metavar="V",
        help="visits of a scene that load all its points; default %(default)s",
    )
    group = parser.add_argument_group("patience")
    add = group.add_argument
    add(
        "--peak",
        type=float,
        default=asked.peak,
        metavar="P",
        help="arrivals in the busiest hour over the average hour's; default %(default)s",
    )
    add(
        "--wait-minutes",
        type=float,
        default=asked.wait_min,
        metavar="M",
        help="95 of 100 jobs begin each step within; default %(default)s",
    )
    group = parser.add_argument_group("keeping")
    add = group.add_argument
    add("--keep-days", type=float, default=asked.keep_days, help="scenes; default %(default)s")
    add("--job-days", type=float, default=asked.job_days, help="jobs; default %(default)s")
    _add_machines(parser)
    return parser


def _add_machines(parser: argparse.ArgumentParser) -> None:
    """Add what depends on the operator: machines, prices, and which tables."""
    asked, assumed = Demand(1), Assumed()
    group = parser.add_argument_group("your machines; the first three are assumptions to replace")
    add = group.add_argument
    add(
        "--da3-gpu-seconds",
        type=float,
        default=assumed.da3_gpu_s,
        metavar="S",
        help="GPU-seconds of one frame by da3-base; ASSUMED %(default)s",
    )
    add(
        "--nerfiller-gpu-minutes",
        type=float,
        default=assumed.nerfiller_gpu_min,
        metavar="M",
        help="of one completion by NeRFiller; ASSUMED %(default)s",
    )
    add(
        "--upload-mb",
        type=float,
        default=assumed.upload_mb,
        metavar="MB",
        help="of one video; ASSUMED %(default)s",
    )
    add("--node-cores", type=int, default=asked.node_cores, help="default %(default)s")
    add("--node-gib", type=int, default=asked.node_gib, help="default %(default)s")
    group = parser.add_argument_group(
        "prices, in your currency; with any of them costs are printed"
    )
    add = group.add_argument
    add("--gpu-hour", type=float, default=0.0, metavar="C", help="one GPU with its node's share")
    add("--cpu-hour", type=float, default=0.0, metavar="C", help="one core with its memory")
    add("--gb-month", type=float, default=0.0, metavar="C", help="bucket, and the database's disk")
    add("--egress-gb", type=float, default=0.0, metavar="C", help="what leaves for viewers")
    group = parser.add_argument_group("other tables")
    add = group.add_argument
    add("--costs", action="store_true", help="what each overlay holds, without prices")
    add("--measured", action="store_true", help="what was measured of each clip")
    add("--write-docs", action="store_true", help="refresh the tables in docs/operate")


if __name__ == "__main__":
    sys.exit(main())
