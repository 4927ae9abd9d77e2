"""The engine "fusion": completion from other views, world planes and exemplars; CPU, no weights."""
