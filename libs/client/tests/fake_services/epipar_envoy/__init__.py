"""A stand-in; see __main__."""
