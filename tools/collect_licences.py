"""Copies the licence texts of everything that is installed beside a Python, for an image.

``python tools/collect_licences.py /licences`` writes a folder for each distribution and a table of
names, versions and licences; it needs the standard library alone.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

_WORDS = ("licen", "copying", "notice", "authors")
TABLE = "licences.tsv"


def collect(folder: Path) -> list[tuple[str, str, str]]:
    """Write all texts and the table.

    Args:
        folder: is made where it is missing.

    Returns:
        Name, version and licence of each distribution, sorted; "see its metadata" where a package
        says nothing in a field that can be read by a program.
    """
    rows = []
    for distribution in distributions():
        name, version = distribution.metadata["Name"], distribution.version
        place = folder / f"{name}-{version}"
        place.mkdir(parents=True, exist_ok=True)
        told = distribution.read_text("METADATA") or ""
        (place / "METADATA").write_text(told.partition("\n\n")[0], encoding="utf-8")
        for number, text in enumerate(_texts(distribution)):
            (place / f"{number:02}-{text.name}").write_bytes(text.read_bytes())
        rows.append((name, version, _licence(distribution)))
    rows.sort(key=lambda row: row[0].lower())
    lines = ["\t".join(row) for row in [("name", "version", "licence"), *rows]]
    (folder / TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return rows


def _texts(distribution: Distribution) -> list[Path]:
    """Return the licence files of a distribution; those that it names but lacks are left out."""
    files = [
        Path(str(file.locate()))
        for file in distribution.files or ()
        if ".dist-info" in str(file) and any(word in file.name.lower() for word in _WORDS)
    ]
    return sorted(file for file in files if file.is_file())


def _licence(distribution: Distribution) -> str:
    metadata = distribution.metadata
    for field in ("License-Expression", "License"):
        lines = "".join((metadata.get_all(field) or [])[:1]).strip().splitlines()
        if lines and len(lines[0]) < 80:
            return lines[0]
    found = [
        line.rpartition("::")[2].strip()
        for line in metadata.get_all("Classifier") or []
        if line.startswith("License ::")
    ]
    return ", ".join(found) or "see its metadata"


def main() -> int:
    """Run the program; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print(f"{len(collect(folder))} distributions: {folder / TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
