"""Renders every overlay and component and checks it: ``python -m tools.k8s_check``."""

from __future__ import annotations

import sys

from tools.k8s_check.checks import RULES, findings
from tools.k8s_check.render import COMPONENTS_ON_CPU, OVERLAYS, render_overlay, render_with


def main() -> int:
    """Run the program; return the exit status."""
    worlds = {name: render_overlay(name) for name in OVERLAYS}
    worlds |= {f"cpu + {name}": render_with("cpu", [name]) for name in COMPONENTS_ON_CPU}
    faults = 0
    for name, world in worlds.items():
        found = findings(world)
        faults += len(found)
        print(f"{name}: {len(world.objects)} objects, {len(found)} faults")
        for finding in found:
            print(f"  {finding}")
    print(f"{len(RULES)} rules, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
