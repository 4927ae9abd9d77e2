"""NeRFiller for Epipar: joint multi-view diffusion inpainting that updates a radiance field.

``inpaint`` needs torch and diffusers only, ``nerf`` is the nerfstudio method, and the modules
beside them are the runner: a process that reads a job file, prints JSON lines and can be stopped
and resumed.
"""

from __future__ import annotations

__version__ = "0.1.0"
