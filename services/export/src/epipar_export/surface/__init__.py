"""The surface of a scene: depth maps in, a coloured triangle mesh in three levels out."""
