"""The engine "da3": Depth Anything 3 behind a model host; see README.md.

Only network.py, which nothing but a model host imports, knows torch.
"""

from __future__ import annotations
