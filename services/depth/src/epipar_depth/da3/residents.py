"""Which models are loaded on a device: the last used stay, and nothing is begun without memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from epipar_depth.da3.registry import ModelSpec
from epipar_kit.errors import LimitExceededError


class DeviceFullError(Exception):
    """One pass with so many images does not fit.

    Attributes:
        fits: how many images would, at most.
    """

    def __init__(self, fits: int) -> None:
        super().__init__(f"{fits} images fit")
        self.fits = fits


class DeviceLostError(Exception):
    """The device failed so that this process cannot use it any more, such as by a CUDA fault."""


class Network(Protocol):
    """A loaded model."""

    def predict(
        self,
        arrays: dict[str, npt.NDArray[Any]],
        *,
        dtype: str,
        seed: int,
        check: Callable[[], None],
    ) -> tuple[dict[str, npt.NDArray[Any]], bool]:
        """Run one pass; see network.TorchNetwork."""
        ...


class Device(Protocol):
    """Where models run."""

    @property
    def name(self) -> str:
        """Such as "cuda:0 (NVIDIA L4)"."""
        ...

    def free_mib(self) -> int:
        """Memory that is free now."""
        ...

    def load(self, spec: ModelSpec) -> Network:
        """Load a model's verified weights."""
        ...

    def release(self) -> None:
        """Give back what dropped models and failed passes held."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryBounds:
    """What a host may use.

    Attributes:
        memory_mib: by setting; 0: what the device has free.
        max_models: loaded at once.
    """

    memory_mib: int = 0
    max_models: int = 2


class Residents:
    """The loaded models of one device, least recently used first."""

    def __init__(self, device: Device, bounds: MemoryBounds) -> None:
        self._device = device
        self._bounds = bounds
        self._loaded: OrderedDict[str, tuple[ModelSpec, Network]] = OrderedDict()

    @property
    def names(self) -> list[str]:
        """Names of the loaded models, least recently used first."""
        return list(self._loaded)

    def available_mib(self) -> int:
        """Return the memory that a pass may use now."""
        free = self._device.free_mib()
        if not self._bounds.memory_mib:
            return free
        used = sum(spec.base_mib for spec, _ in self._loaded.values())
        return max(0, min(free, self._bounds.memory_mib - used))

    def fitting_images(self, spec: ModelSpec, height: int, width: int) -> int:
        """Return how many images one pass of this model may have, were it alone here."""
        others = sum(s.base_mib for n, (s, _) in self._loaded.items() if n != spec.name)
        own = 0 if spec.name in self._loaded else spec.base_mib
        return spec.fitting_images(max(0, self.available_mib() + others - own), height, width)

    def admit(self, spec: ModelSpec, images: int, height: int, width: int) -> Network:
        """Return the model, loaded, with memory for one pass; drops others where it must.

        Raises:
            DeviceFullError: it would fit with fewer images.
            LimitExceededError: OUT_OF_MEMORY, not even one image fits.
            EpiparError: the weights cannot be loaded.
        """
        if (fits := self.fitting_images(spec, height, width)) < images:
            if fits < 1:
                raise self._too_large(spec, height, width)
            raise DeviceFullError(fits)
        network = self.load(spec)
        while self.available_mib() < spec.chunk_mib(images, height, width) and self._drop_other(
            spec.name
        ):
            pass
        return network

    def load(self, spec: ModelSpec) -> Network:
        """Return the model, loaded now if it is not; the least recently used make room."""
        if spec.name not in self._loaded:
            while (
                len(self._loaded) >= self._bounds.max_models or self.available_mib() < spec.base_mib
            ) and self._drop_other(spec.name):
                pass
            self._loaded[spec.name] = (spec, self._device.load(spec))
        self._loaded.move_to_end(spec.name)
        return self._loaded[spec.name][1]

    def recover(self, images: int) -> DeviceFullError:
        """Give back memory after a pass ran out of it; say that half as many images may fit."""
        self._device.release()
        return DeviceFullError(images // 2)

    def _drop_other(self, name: str) -> bool:
        oldest = next((other for other in self._loaded if other != name), None)
        if oldest is None:
            return False
        del self._loaded[oldest]
        self._device.release()
        return True

    def _too_large(self, spec: ModelSpec, height: int, width: int) -> LimitExceededError:
        needed = spec.base_mib + spec.chunk_mib(1, height, width)
        return LimitExceededError(
            "OUT_OF_MEMORY",
            f"{spec.name!r} needs {needed} MiB for one image of {width}x{height}; "
            f"{self._device.name} has {self.available_mib()} MiB for it; use a smaller model, or "
            "a smaller options.da3.process_side_px",
            subject="memory",
            model=spec.name,
        )
