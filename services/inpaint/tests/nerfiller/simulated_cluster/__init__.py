"""A simulated control plane: real HTTP, pods as real processes, no code of Kubernetes.

What it shows is that the runner speaks to such a thing rightly. It is written from the API's
documents, so what the documents do not say, only a real cluster can show (tests/cluster).
"""

from __future__ import annotations
