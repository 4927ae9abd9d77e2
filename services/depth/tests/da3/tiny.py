"""Tiny models of the real package, with random weights, for the tests of the engine "da3"."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

MODEL_CODE = Path(__file__).parent / "model_code"

_VIEWS = """\
__object__: {{path: depth_anything_3.model.da3, name: DepthAnything3Net, args: as_params}}
net:
  __object__: {{path: epipar_tiny_da3, name: {backbone}, args: as_params}}
  out_layers: [2, 3, 4, 5]
  cat_token: true
  starts: 2
head:
  __object__: {{path: depth_anything_3.model.dualdpt, name: DualDPT, args: as_params}}
  dim_in: 96
  output_dim: 2
  features: 16
  out_channels: [8, 16, 24, 32]
cam_enc:
  __object__: {{path: depth_anything_3.model.cam_enc, name: CameraEnc, args: as_params}}
  dim_out: 48
  trunk_depth: 1
  num_heads: 3
cam_dec:
  __object__: {{path: depth_anything_3.model.cam_dec, name: CameraDec, args: as_params}}
  dim_in: 96
"""
_SINGLE = """\
__object__: {{path: depth_anything_3.model.da3, name: DepthAnything3Net, args: as_params}}
net:
  __object__: {{path: epipar_tiny_da3, name: TinyBackbone, args: as_params}}
  out_layers: [2, 3, 4, 5]
  cat_token: false
  starts: -1
head:
  __object__: {{path: {head}, args: as_params}}
  dim_in: 48
  output_dim: 1
  features: 16
  out_channels: [8, 16, 24, 32]
"""
_DPT = "depth_anything_3.model.dpt, name: DPT"
_METRIC = _SINGLE.format(head=_DPT)


def _nested(head: str) -> str:
    """Return the architecture of both in one, as the published nested model has it."""
    parts = {
        "anyview": _VIEWS.format(backbone="TinyBackbone"),
        "metric": _SINGLE.format(head=head),
    }
    head = "__object__: {path: depth_anything_3.model.da3, name: NestedDepthAnything3Net, args: as_params}"
    inner = [f"{name}:\n" + textwrap.indent(text, "  ") for name, text in parts.items()]
    return "\n".join([head, *inner])


_NESTED: dict[str, Any] = {"metric": True, "sky": True}
_SINGLES: dict[str, Any] = {"views": False, "poses": False, "sky": True}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny": (_VIEWS.format(backbone="TinyBackbone"), {}),
    "tiny-b": (_VIEWS.format(backbone="TinyBackbone"), {}),
    "tiny-greedy": (_VIEWS.format(backbone="GreedyBackbone"), {}),
    "tiny-slow": (_VIEWS.format(backbone="SlowBackbone"), {}),
    "tiny-crashing": (_VIEWS.format(backbone="CrashingBackbone"), {}),
    "tiny-faulty": (_VIEWS.format(backbone="FaultyBackbone"), {}),
    "tiny-nc": (_VIEWS.format(backbone="TinyBackbone"), {"licence": "CC-BY-NC-4.0"}),
    "tiny-metric": (_METRIC, {**_SINGLES, "metric": True}),
    "tiny-mono": (_METRIC, _SINGLES),
    "tiny-nested": (_nested("epipar_tiny_da3, name: PatchySkyHead"), _NESTED),
    "tiny-nested-indoors": (_nested(_DPT), _NESTED),
    "tiny-nested-overcast": (_nested("epipar_tiny_da3, name: OvercastHead"), _NESTED),
}


def write_models_file(folder: Path) -> Path:
    """Write the architectures and the list of them; return the list."""
    entries = []
    for name, (architecture, more) in MODELS.items():
        path = folder / f"{name}.yaml"
        path.write_text(architecture)
        entries.append(
            {
                "name": name,
                "repo": "",
                "architecture": str(path),
                "licence": "Apache-2.0",
                "summary": "For tests.",
                "base_mib": 10,
                "image_mib": 10,
                **more,
            }
        )
    listing = folder / "models.json"
    listing.write_text(json.dumps(entries))
    return listing


def environment(folder: Path) -> dict[str, str]:
    """Return the variables under which the tiny models of a folder are found."""
    return {
        "EPIPAR_DEPTH_DA3_MODELS_DIR": str(folder / "models"),
        "EPIPAR_DEPTH_DA3_MODELS_FILE": str(folder / "models.json"),
        "EPIPAR_DEPTH_DA3_DEVICES": "cpu",
        "EPIPAR_DEPTH_DA3_THREADS": "1",
        "EPIPAR_DEPTH_DA3_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(
            [str(MODEL_CODE), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }


def stage(folder: Path, names: list[str]) -> dict[str, str]:
    """Make random weights of models in a folder, pin them, and return the variables."""
    write_models_file(folder)
    variables = environment(folder)
    program = (
        "import sys; from epipar_depth.da3 import random_weights as r\n"
        "for name in sys.argv[1:]:\n"
        "    sys.argv = ['r', name]\n"
        "    r.main()"
    )
    subprocess.run(
        [sys.executable, "-c", program, *names],
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        timeout=300,
    )
    return variables
