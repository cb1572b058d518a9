"""The machine's accelerators and which of them are taken. Asked by pods before they start, and by the check of a run's fields."""

import os
from collections.abc import Mapping
from pathlib import Path

NVIDIA = "nvidia.com/gpu"
VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> tuple[str, ...]:
    """The NVIDIA devices of this machine, or those of them that the user lets us see."""
    if VISIBLE in os.environ:
        return tuple(filter(None, os.environ[VISIBLE].split(",")))
    return tuple(str(i) for i, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*")))


class Devices:
    def __init__(self, gpus: tuple[str, ...]) -> None:
        self.all = gpus
        self._free = list(gpus)

    def take(self, limits: Mapping[str, str]) -> tuple[str, ...] | None:
        """The devices that a container's limits ask for; None where too few are free now."""
        wanted = int(limits.get(NVIDIA, "0"))
        if wanted > len(self._free):
            return None
        taken, self._free = self._free[:wanted], self._free[wanted:]
        return tuple(taken)

    def give_back(self, devices: tuple[str, ...]) -> None:
        self._free = sorted([*self._free, *devices], key=self.all.index)

    def environment(self, taken: tuple[str, ...]) -> dict[str, str]:
        """A pod sees its own devices; one without any sees none."""
        return {VISIBLE: ",".join(taken)} if self.all else {}
