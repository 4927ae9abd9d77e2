"""Measures the viewer beside one THREE.Points and 3d-tiles-renderer on a scene of 10 M points."""
