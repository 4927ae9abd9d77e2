"""The command: python -m tools.render_sample."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.render_sample.clip import ClipOptions, lit_scene, write_sample, write_still

_ROOT = Path(__file__).resolve().parents[2]
_STILL_SIZE = (960, 540)
_BAR = 30


def main() -> None:
    """Render the sample's clip with its ground truth, and its still picture."""
    arguments = _parser().parse_args()
    try:
        options = ClipOptions(
            arguments.frames,
            arguments.size[0],
            arguments.size[1],
            arguments.samples,
            arguments.rays,
            arguments.seed,
            int(arguments.limit_mb * 1e6),
        )
    except ValueError as error:
        sys.exit(f"render_sample: {error}")
    scene = lit_scene(options.seed, options.rays, _show)
    if not arguments.no_still:
        write_still(arguments.still, scene, *_STILL_SIZE, options.samples + 1, options.seed)
        print(f"{arguments.still}: {arguments.still.stat().st_size / 1e3:.0f} kB")
    write_sample(arguments.output, scene, options, _show)
    for path in sorted(arguments.output.rglob("*.*")):
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tools.render_sample",
        description="Renders the sample: a reading nook filmed by hand, with exact poses and depth.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    default = ClipOptions()
    add = parser.add_argument
    add("--output", type=Path, default=_ROOT / "examples/sample", help="folder to write into")
    add("--frames", type=int, default=default.frames, help="frames along the walk")
    add("--size", type=_size, default=(default.width, default.height), help="WIDTHxHEIGHT")
    add("--samples", type=int, default=default.samples, help="rays a pixel, along each side")
    add("--rays", type=int, default=default.rays, help="rays that gather a light map's texel")
    add("--seed", type=int, default=default.seed, help="the same seed gives the same pixels")
    add("--limit-mb", type=float, default=default.limit_bytes / 1e6, help="largest clip, MB")
    still = _ROOT / "docs/pictures/sample.jpg"
    add("--still", type=Path, default=still, help="a 960x540 picture of the room")
    add("--no-still", action="store_true", help="do not render the picture")
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"size is {text!r}; it must be like 640x480")
    return int(width), int(height)


def _show(stage: str, share: float) -> None:
    """Draw a progress bar on a terminal; elsewhere print each stage once, as it ends."""
    if sys.stderr.isatty():
        done = round(_BAR * share)
        end = "\n" if share >= 1 else ""
        line = f"\r{stage:9} [{'#' * done}{'.' * (_BAR - done)}] {share:4.0%}"
        print(line, end=end, file=sys.stderr, flush=True)
    elif share >= 1:
        print(f"{stage}: done", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
