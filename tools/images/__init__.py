"""Container images: which there are, how they are built, how large they became."""
