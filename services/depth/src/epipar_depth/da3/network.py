"""Depth Anything 3 on a device: models that run, and what they say as arrays."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from epipar_depth.da3.loading import Model, build_model, load_strictly
from epipar_depth.da3.nested import is_nested, run_nested
from epipar_depth.da3.registry import ModelSpec
from epipar_depth.da3.residents import DeviceLostError
from epipar_depth.da3.self_agreement import self_agreement
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.da3.weights import WEIGHTS_NAME, verify
from epipar_kit.errors import InvalidInputError
from epipar_scene.arrays import F32, F64, U8

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_SKY_THRESHOLD = 0.3  # the model code's own
_LEAST_SCALE = 0.1  # of given cameras, as the model was trained
_NO_MEMORY = ("can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED")
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


class TorchDevice:
    """A GPU, or the CPU.

    Args:
        name: "auto" (the first GPU, else the CPU), "cpu", "cuda" (the first) or "cuda:1".
        settings: where weights lie, threads.
    """

    def __init__(self, name: str, settings: Da3Settings) -> None:
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        chosen = "cuda:0" if name == "cuda" else name
        self._settings = settings
        self.device = torch.device(chosen)
        if self.device.type == "cpu":
            torch.set_num_threads(settings.threads or len(os.sched_getaffinity(0)))
        torch.backends.cudnn.benchmark = False  # the same frames give the same answer

    @property
    def name(self) -> str:
        """Such as "cuda:0 (NVIDIA L4)"."""
        if self.device.type == "cpu":
            return "cpu"
        return f"{self.device} ({torch.cuda.get_device_name(self.device)})"

    def free_mib(self) -> int:
        """Memory that is free now, what torch keeps for itself included."""
        if self.device.type == "cpu":
            return _free_host_mib()
        free, _ = torch.cuda.mem_get_info(self.device)
        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return int((free + kept) // 2**20)

    def load(self, spec: ModelSpec) -> TorchNetwork:
        """Verify the weights and load them."""
        folder, _ = verify(spec, self._settings)
        with _building(self.device):
            model = build_model(spec)
        load_strictly(spec, model, folder / WEIGHTS_NAME)
        model.to(self.device)
        return TorchNetwork(spec, model, self.device)

    def release(self) -> None:
        """Give back what dropped models and failed passes held."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class TorchNetwork:
    """A loaded model."""

    def __init__(self, spec: ModelSpec, model: Model, device: torch.device) -> None:
        self._spec = spec
        self._model = model
        model.eval().requires_grad_(False)
        self._device = device
        self._check: Callable[[], None] = lambda: None
        for module in model.modules():
            if type(module).__name__.endswith("Block"):
                module.register_forward_pre_hook(self._before_block)

    def predict(
        self,
        arrays: dict[str, npt.NDArray[Any]],
        *,
        dtype: str,
        seed: int,
        check: Callable[[], None],
    ) -> tuple[dict[str, npt.NDArray[Any]], bool]:
        """Run one pass.

        Args:
            arrays: images (N, H, W, 3) uint8 RGB, sides multiples of 14; with known cameras also
                world_to_camera (N, 4, 4) and intrinsics (N, 3, 3) in pixels of these images.
            dtype: "fp32", "bf16", "fp16" or "" for the device's best.
            seed: of the model code's random samples.
            check: called before every layer; what it raises ends the pass.

        Returns:
            depth (N, H, W) float32, confidence (N, H, W) float32 0..1, and where the model has
            them sky (N, H, W) bool, world_to_camera (N, 4, 4) float64 and intrinsics (N, 3, 3)
            float64; and whether the depth is in metres by itself.

        Raises:
            MemoryError: the device has no memory for so many images.
            DeviceLostError: the device failed; this process cannot use it any more.
            InvalidInputError: BAD_OPTION, the device cannot compute in this dtype.
        """
        self._check = check
        torch.manual_seed(seed)
        try:
            with torch.inference_mode(), self._autocast(dtype):
                output = self._forward(arrays)
                mirrored = None if self._spec.views else self._mirrored(arrays)
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error)[:200]) from None
        except RuntimeError as error:
            text = str(error)
            if any(sign in text for sign in _NO_MEMORY):
                raise MemoryError(text[:200]) from None
            if "CUDA error" in text:
                raise DeviceLostError(text[:200]) from None
            raise
        finally:
            self._check = lambda: None
        return self._arrays(output, mirrored), bool(getattr(output, "is_metric", 0))

    def _before_block(self, module: torch.nn.Module, inputs: Any) -> None:
        self._check()

    def _forward(self, arrays: dict[str, npt.NDArray[Any]]) -> Any:
        images = self._images(cast("U8", arrays["images"]))
        given: list[torch.Tensor | None] = [None, None]
        if "world_to_camera" in arrays:
            cameras = normalised_cameras(cast("F64", arrays["world_to_camera"]))
            given = [self._tensor(cameras), self._tensor(cast("F64", arrays["intrinsics"]))]
        if is_nested(self._model.model):
            return run_nested(self._model.model, images, given)
        return self._model(images, *given, export_feat_layers=[])

    def _mirrored(self, arrays: dict[str, npt.NDArray[Any]]) -> F32:
        flipped = np.ascontiguousarray(arrays["images"][:, :, ::-1])
        return np.ascontiguousarray(_depth_of(self._forward({"images": flipped}))[:, :, ::-1])

    def _arrays(self, output: Any, mirrored: F32 | None) -> dict[str, npt.NDArray[Any]]:
        depth = _depth_of(output)
        found: dict[str, npt.NDArray[Any]] = {"depth": depth}
        raw = output.get("depth_conf", None)
        if raw is not None:
            raw = _numpy(raw).reshape(depth.shape)
            found["confidence"] = 1 - 1 / np.maximum(raw, 1)
        else:
            found["confidence"] = self_agreement(depth, depth if mirrored is None else mirrored)
        if output.get("sky", None) is not None:
            # What is no number is sky, as in the model code.
            found["sky"] = ~(_numpy(output["sky"]).reshape(depth.shape) < _SKY_THRESHOLD)
        if self._spec.poses:
            given = _numpy(output["extrinsics"]).reshape(-1, *output["extrinsics"].shape[-2:])
            found["world_to_camera"] = np.tile(np.eye(4), (len(given), 1, 1))
            found["world_to_camera"][:, :3] = given[:, :3]
            found["intrinsics"] = _numpy(output["intrinsics"]).reshape(-1, 3, 3).astype(np.float64)
        return found

    def _images(self, images: U8) -> torch.Tensor:
        scaled = torch.from_numpy(np.array(images)).to(self._device).float() / 255
        mean, std = (torch.tensor(v, device=self._device) for v in (_MEAN, _STD))
        return ((scaled - mean) / std).permute(0, 3, 1, 2).contiguous()[None]

    def _tensor(self, values: F64) -> torch.Tensor:
        return torch.from_numpy(np.array(values, np.float32)).to(self._device)[None]

    def _autocast(self, dtype: str) -> Any:
        kind = _DTYPES[dtype] if dtype else self._best_dtype()
        if kind is torch.float32:
            return nullcontext()
        if self._device.type == "cuda" and kind is torch.bfloat16:
            if not torch.cuda.is_bf16_supported():
                raise InvalidInputError(
                    "BAD_OPTION", "options.da3.dtype", "this card has no bf16; use fp16 or fp32"
                )
        elif self._device.type == "cpu" and kind is torch.float16:
            raise InvalidInputError(
                "BAD_OPTION", "options.da3.dtype", "the CPU has no fp16; use fp32 or bf16"
            )
        return torch.autocast(self._device.type, kind)

    def _best_dtype(self) -> torch.dtype:
        if self._device.type == "cpu":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def normalised_cameras(world_to_camera: F64) -> F64:
    """Return cameras relative to the first, the median distance from it 1, as the model wants."""
    relative = world_to_camera @ np.linalg.inv(world_to_camera[0])
    centres = np.linalg.inv(relative)[:, :3, 3]
    scale = max(float(np.median(np.linalg.norm(centres, axis=1))), _LEAST_SCALE)
    relative[:, :3, 3] /= scale
    return relative


def _depth_of(output: Any) -> F32:
    depth = output["depth"]
    return _numpy(depth).reshape(depth.shape[1], *depth.shape[-2:])


def _numpy(tensor: torch.Tensor) -> F32:
    return np.asarray(tensor.float().cpu().numpy(), np.float32)


def _free_host_mib() -> int:
    """Return memory that this machine has, within the container's limit."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) // 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no limit
        return free
    return min(free, (limit - used) // 2**20)


@contextmanager
def _building(device: torch.device) -> Iterator[None]:
    """Build on the device: random numbers for a giant take minutes on a CPU."""
    with torch.device(device) if device.type == "cuda" else nullcontext():
        yield
