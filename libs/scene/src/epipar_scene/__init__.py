"""The scene library: cameras, frames, scene folders and point clouds; numpy and Pillow only."""
