"""Renders every overlay and component and checks it: ``python -m tools.k8s_check``."""

from __future__ import annotations

import sys

from tools.k8s_check.checks import RULES, findings
from tools.k8s_check.render import COMPONENTS_ON_CPU, OVERLAYS, render_named


def main() -> int:
    """Run the program; return the exit status."""
    names = [*OVERLAYS, *(f"cpu + {name}" for name in COMPONENTS_ON_CPU)]
    faults = 0
    for name in names:
        world = render_named(name)
        found = findings(world)
        faults += len(found)
        print(f"{name}: {len(world.objects)} objects, {len(found)} faults")
        for finding in found:
            print(f"  {finding}")
    print(f"{len(RULES)} rules, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
