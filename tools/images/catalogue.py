"""The images of the suite: a name, the folder of the Dockerfile, and what it builds on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Image:
    """One image.

    Attributes:
        name: in a registry, without its tag.
        folder: of its Dockerfile, relative to the repository.
        target: stage of the Dockerfile; "": the last.
        needs_gpu_packages: it holds torch with CUDA: gigabytes, built only when asked for.
    """

    name: str
    folder: str
    target: str = ""
    needs_gpu_packages: bool = False

    @property
    def dockerfile(self) -> Path:
        """Where its Dockerfile is."""
        return ROOT / self.folder / "Dockerfile"


IMAGES = (
    Image("epipar-depth", "services/depth"),
    Image("epipar-export", "services/export"),
    Image("epipar-inpaint", "services/inpaint"),
    Image("epipar-gateway", "gateway"),
    Image("epipar-envoy", "gateway/envoy"),
    Image("epipar-depth-gpu", "services/depth", "gpu", needs_gpu_packages=True),
    Image("epipar-inpaint-gpu", "services/inpaint/worker", "inpaint-gpu", needs_gpu_packages=True),
    Image("epipar-nerfiller", "services/inpaint/worker", needs_gpu_packages=True),
)
