"""The depth service: depth, confidence and camera poses from a video or photos."""
