"""Depth benchmarks: accuracy and CPU-seconds beside OpenCV's SGBM, and the fit of confidence."""
