"""The commands that work on scenes: reconstruct, export, masks, complete."""

from __future__ import annotations

from argparse import ArgumentParser

from epipar_cli.arguments_common import Commands, add_address, add_command, add_waiting
from epipar_cli.arguments_models import add_da3
from epipar_cli.export import DROP_PRESETS, drop_percent
from epipar_cli.nerfiller import add_nerfiller
from epipar_cli.regions import box, sphere

_RECONSTRUCT = """\
Turn a video, or a folder of photos, into a scene folder: images, camera poses, depth, confidence.

Without --address the work is done here, by a service that is started for it; its store is the
folder that SCENE_DIR lies in. An input elsewhere is hard-linked (or copied, on another disk) beside
the scene as .SCENE_DIR.input/ and removed afterwards. A run that was stopped, even by kill -9, goes
on where it was when the same command is given again.

With --address a running suite does the work: INPUT is uploaded (an upload that was stopped goes on
where it was), a job is started and watched, whatever happens to the connection meanwhile, and the
page of the finished scene is printed. -o then names the scene. Ctrl-C leaves the job running.
"""
_RECONSTRUCT_EXAMPLES = """\
examples:
  epipar reconstruct clip.mp4 -o kitchen
  epipar reconstruct photos/ -o scenes/garden --max-frames 80
  epipar reconstruct clip.mp4 -o kitchen --json | jq -c 'select(.event == "result")'
  epipar reconstruct clip.mp4 -o kitchen --engine da3 --model da3-small
  epipar reconstruct clip.mp4 -o kitchen --address 127.0.0.1:8080 --download scenes/
  epipar reconstruct clip.mp4 --address 127.0.0.1:8080 --no-wait
"""
_EXPORT = """\
Turn a scene folder into point clouds: three levels as GLB, a 3D Tiles octree, and PLY; with
--surface also into a coloured triangle mesh in three levels as GLB.

Without -o the files go into SCENE/exports/default. With -o DIR they go into DIR; the service that
is started for it then works on the deepest folder that holds both SCENE and DIR.
With --address a running suite does the work: SCENE is one of its scenes, -o names the export.
"""
_EXPORT_EXAMPLES = """\
examples:
  epipar export kitchen
  epipar export kitchen -o web/kitchen --codec meshopt --bits 12 --drop standard
  epipar export kitchen -o small --full-points 500000 --no-ply --remove-outliers
  epipar export kitchen -o mesh --surface-only --codec draco --voxel 0.01
  epipar export kitchen --completion default -o kitchen/completions/default/exports/surface --surface
  epipar export kitchen -o small --bits 12 --address 127.0.0.1:8080
"""
_MASKS = """\
Find what a scene lacks, in colour and in depth apart, and write it as PNGs (255 keep, 0 hole) into
SCENE/masks/NAME, with a picture of it.

Depth with little confidence is a hole in depth, never in colour. What lies in a box or sphere, or
is 0 in a mask of yours, is a hole in both.
"""
_MASKS_EXAMPLES = """\
examples:
  epipar masks kitchen
  epipar masks kitchen --name strict --min-confidence 0.6
  epipar masks kitchen --name chair --regions-only --box=-0.5,0.2,1.5,0.4,1.1,2.3
"""
_COMPLETE = """\
Fill what the camera never saw: a whole scene folder again, in SCENE/completions/NAME, and its
export. Pixels that are known never change; provenance/ says where each other one comes from.

--intent complete puts a missing surface back. --intent remove takes away what --box, --sphere or
--mask-dir names, and shows what is behind it. Coordinates are the scene's: x right, y down, z
forward, as cameras in `epipar view` show them. Masks in --mask-dir are PNGs named as the frames
(frame_00001.png), 0 = take away.
"""
_COMPLETE_EXAMPLES = """\
examples:
  epipar complete kitchen
  epipar complete kitchen --name without-chair --intent remove --sphere 0.1,0.6,1.9,0.4
  epipar complete kitchen --name mine --mask-dir masks/ --intent remove
  epipar complete kitchen --address 127.0.0.1:8080
"""


def add_reconstruct(commands: Commands) -> None:
    """Add `epipar reconstruct`."""
    parser = add_command(
        commands, "reconstruct", "video or photos -> scene", _RECONSTRUCT, _RECONSTRUCT_EXAMPLES
    )
    parser.add_argument("input", metavar="INPUT", help="a video, or a folder of images")
    parser.add_argument(
        "-o", "--output", metavar="SCENE_DIR", help="the scene; needed without --address"
    )
    parser.add_argument("--engine", help="mvs (the default, any machine) or da3 (GPU; CPU slowly)")
    parser.add_argument("--max-frames", type=int, metavar="N", help="most frames; default 300")
    parser.add_argument("--max-side", type=int, metavar="PX", help="longer side of the images")
    parser.add_argument("--seed", type=int, metavar="N", help="of everything random; default 0")
    add_da3(parser)
    parser.add_argument(
        "--download", metavar="DIR", help="with --address: fetch the scene folder into DIR"
    )
    add_waiting(parser)
    add_address(parser)


def add_export(commands: Commands) -> None:
    """Add `epipar export`."""
    parser = add_command(
        commands, "export", "scene -> GLB, 3D Tiles, PLY", _EXPORT, _EXPORT_EXAMPLES
    )
    parser.add_argument("scene", metavar="SCENE", help="a finished scene folder")
    parser.add_argument("-o", "--output", metavar="DIR", help="where the files go")
    parser.add_argument("--completion", metavar="NAME", help="export this completion of it")
    parser.add_argument("--codec", metavar="NAME", help="meshopt (the default), draco or none")
    parser.add_argument(
        "--bits", type=int, metavar="N", help="of a coordinate, 8 to 16; default 14"
    )
    for level, default in (("preview", "80 000"), ("medium", "1 000 000"), ("full", "10 000 000")):
        parser.add_argument(
            f"--{level}-points", type=int, metavar="N", help=f"most points; default {default}"
        )
    parser.add_argument(
        "--drop",
        type=drop_percent,
        metavar="PRESET|P,M,F",
        help="percent of the least confident points to leave out of preview, medium, full: "
        f"{' or '.join(DROP_PRESETS)} (20,10,3), or numbers; default none",
    )
    parser.add_argument("--min-confidence", type=float, metavar="C", help="global cut, 0 to 1")
    parser.add_argument("--remove-outliers", action="store_true", help="drop stray points first")
    parser.add_argument("--no-glb", action="store_true", help="leave the GLBs out")
    parser.add_argument("--no-tiles", action="store_true", help="leave the 3D Tiles out")
    parser.add_argument("--no-ply", action="store_true", help="leave cloud.ply out")
    parser.add_argument("--meshopt-extension", choices=("KHR", "EXT"), help="EXT: older readers")
    parser.add_argument(
        "--precompress",
        action="append",
        choices=("zstd", "br"),
        help="also write .zst or .br siblings for HTTP; may be given twice",
    )
    _add_surface(parser)
    add_waiting(parser)
    add_address(parser)


def _add_surface(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("surface")
    what = group.add_mutually_exclusive_group()
    what.add_argument(
        "--surface", action="store_const", const="points_and_surface", dest="geometry",
        help="also make a triangle mesh",
    )  # fmt: skip
    what.add_argument(
        "--surface-only", action="store_const", const="surface", dest="geometry",
        help="make a triangle mesh and no points",
    )  # fmt: skip
    group.add_argument(
        "--voxel",
        type=float,
        metavar="M",
        help="side of a voxel, scene units; default: from the depth maps' resolution and noise",
    )
    for level, default in (("preview", "50 000"), ("medium", "500 000")):
        group.add_argument(
            f"--{level}-triangles", type=int, metavar="N", help=f"at most; default {default}"
        )
    group.add_argument(
        "--surface-memory", type=int, metavar="MIB", help="of the voxels at most; default 1024"
    )


def add_masks(commands: Commands) -> None:
    """Add `epipar masks`."""
    parser = add_command(commands, "masks", "what a scene lacks", _MASKS, _MASKS_EXAMPLES)
    parser.add_argument("scene", metavar="SCENE", help="a finished scene folder")
    parser.add_argument("--name", metavar="NAME", help="of the mask set; default: default")
    _add_missing(parser)
    add_address(parser)


def add_complete(commands: Commands) -> None:
    """Add `epipar complete`."""
    parser = add_command(
        commands, "complete", "fill what a scene lacks", _COMPLETE, _COMPLETE_EXAMPLES
    )
    parser.add_argument("scene", metavar="SCENE", help="a finished scene folder")
    parser.add_argument("--name", metavar="NAME", help="of the completion; default: default")
    parser.add_argument(
        "--intent",
        choices=("complete", "remove"),
        default="complete",
        help="why something is missing; default: %(default)s",
    )
    parser.add_argument("--engine", help="fusion (the default, any machine) or nerfiller (GPU)")
    parser.add_argument("--painter", help="of colours that nobody saw, for example exemplar")
    parser.add_argument("--seed", type=int, metavar="N", help="of everything random; default 0")
    parser.add_argument(
        "--mask-set", metavar="NAME", help="use these masks of `epipar masks`, make none"
    )
    _add_missing(parser)
    add_nerfiller(parser)
    add_waiting(parser)
    add_address(parser)


def _add_missing(parser: ArgumentParser) -> None:
    """Add what counts as missing."""
    group = parser.add_argument_group("what is missing")
    group.add_argument(
        "--min-confidence", type=float, metavar="C", help="less is a hole in depth; default 0.3"
    )
    group.add_argument(
        "--box",
        type=box,
        action="append",
        metavar="X0,Y0,Z0,X1,Y1,Z1",
        help="two corners; may be given twice; before a minus sign write --box=-1,...",
    )
    group.add_argument(
        "--sphere",
        type=sphere,
        action="append",
        metavar="X,Y,Z,R",
        help="centre and radius; may be given twice",
    )
    group.add_argument("--mask-dir", metavar="DIR", help="PNGs named as the frames, 0 = take away")
    group.add_argument(
        "--regions-only",
        action="store_true",
        help="only what --box, --sphere and --mask-dir name is a hole, whatever depth lacks",
    )
    group.add_argument("--no-keep-sky", action="store_true", help="the sky is a hole too")
    group.add_argument("--dilation", type=int, metavar="PX", help="kernel at width 640; default 5")
    group.add_argument("--dilation-iterations", type=int, metavar="N", help="default 2")
    group.add_argument(
        "--min-hole-share", type=float, metavar="S", help="smaller holes are dropped; default .0002"
    )
