"""Benchmark of long videos: what joining chunks costs and how far it drifts."""
