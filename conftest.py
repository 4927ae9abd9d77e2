"""What holds for the tests of all rooms."""

from __future__ import annotations

from hypothesis import settings

# A machine that does something else beside the tests is no fault of theirs.
settings.register_profile("epipar", deadline=None)
settings.load_profile("epipar")
