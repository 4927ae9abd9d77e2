"""Surfaces beside Open3D, and their files beside other writers."""
