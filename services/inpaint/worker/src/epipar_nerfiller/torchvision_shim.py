"""Let a CUDA build of torchvision be imported beside a CPU build of torch.

Such a pair is what registries without CPU builds of torchvision give. Importing it fails with
"operator torchvision::nms does not exist", as torchvision registers facts about operators that its
library, which does not load, would have declared. We use none of them; declaring two is enough.

In an environment for machines without a GPU a file ``epipar_torchvision_shim.pth`` beside the
packages holds ``import epipar_nerfiller.torchvision_shim as shim; shim.install()``, so that
``ns-train`` works there too. Where torchvision fits torch, nothing happens.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

_libraries: list[object] = []  # torch forgets what it was told when the object goes


class _BeforeTorchvision(MetaPathFinder):
    """Finds nothing; but just before torchvision is imported it declares the operators."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torchvision" and not _libraries and _is_mixed():
            _declare()
        return None


def install() -> None:
    """See to it that torchvision can be imported; cheap, torch is not imported here."""
    if "torchvision" not in sys.modules and not any(
        isinstance(finder, _BeforeTorchvision) for finder in sys.meta_path
    ):
        sys.meta_path.insert(0, _BeforeTorchvision())


def _is_mixed() -> bool:
    try:
        return version("torch").endswith("+cpu") and not version("torchvision").endswith("+cpu")
    except PackageNotFoundError:
        return False


def _declare() -> None:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _libraries.append(library)
