"""Speed and memory of Depth Anything 3 by model, with random weights."""
