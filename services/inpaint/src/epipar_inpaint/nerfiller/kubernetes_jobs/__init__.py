"""Runs of the worker as Kubernetes Jobs, one Job a run."""

from __future__ import annotations
