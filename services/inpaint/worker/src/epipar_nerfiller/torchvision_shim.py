"""Let a CUDA build of torchvision be imported beside a CPU build of torch.

Such a pair is what registries without CPU builds of torchvision give. Importing it fails with
"operator torchvision::nms does not exist", as torchvision registers facts about operators that its
library, which does not load, would have declared. We use none of them; declaring two is enough.

``python -m epipar_nerfiller.torchvision_shim`` writes a .pth file beside the packages of such an
environment, so that nerfstudio's own commands work there too. Where torchvision fits torch,
nothing happens.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
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


def main() -> None:
    """Have every Python of this environment call install at its start, if the pair is mixed."""
    if _is_mixed():
        file = Path(sysconfig.get_path("purelib")) / "epipar_torchvision_shim.pth"
        file.write_text("import epipar_nerfiller.torchvision_shim as shim; shim.install()\n")


if __name__ == "__main__":
    main()
