"""The export room: nested levels of detail of a scene as GLB, 3D Tiles and PLY."""
