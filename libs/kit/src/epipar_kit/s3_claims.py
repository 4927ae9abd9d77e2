"""Whose turn it is to write an output of a bucket, and the parts that are finished of it.

Beside the output ``scenes/office`` lie, while it is unfinished::

    scenes/.office.epipar/state.json       the claim, see Claim
    scenes/.office.epipar/parts/{token}/   what is finished of it

Every change of ``state.json`` is a conditional write, so that of two writers one loses it and
knows. Committing is such a change; what follows (parts copied to their names, the manifest last)
can be done again by anybody who finds it half done.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields

import structlog

from epipar_kit.bucket import Bucket, ConflictError, in_parallel
from epipar_kit.errors import NotFoundError
from epipar_kit.keys import hidden_name
from epipar_kit.staging import output_exists

log = structlog.get_logger(__name__)

_MAX_STATE_BYTES = 4096
_MAX_MANIFEST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Claim:
    """Who writes an output, as ``state.json`` says it.

    Attributes:
        content_hash: hash of input and options.
        token: of the writer; its parts lie under it.
        until: seconds since 1970; later another may take the output over. 0: it was let go.
        manifest: file that is written last; "" before the commit.
        is_committed: all parts are there; nobody may take it over any more.
    """

    content_hash: str
    token: str
    until: float
    manifest: str = ""
    is_committed: bool = False


class Outputs:
    """The claims and parts beside the outputs of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def read(self, output_uri: str) -> tuple[Claim, str] | None:
        """Return the claim on an output and its ETag; None where nobody writes it."""
        try:
            data, etag = self.bucket.get(state_key(output_uri), max_bytes=_MAX_STATE_BYTES)
            values = json.loads(data)
            return Claim(**{field.name: values[field.name] for field in fields(Claim)}), etag
        except NotFoundError:
            return None
        except (TypeError, ValueError, KeyError):  # not ours: anybody may write over it
            return Claim("", "", 0.0), etag

    def write(self, output_uri: str, claim: Claim, etag: str | None) -> str:
        """Change a claim; return its new ETag.

        Raises:
            ConflictError: somebody else changed it first.
        """
        data = json.dumps({**asdict(claim), "written": time.time_ns()}).encode()
        return self.bucket.put_if(state_key(output_uri), data, etag)

    def parts(self, output_uri: str, token: str) -> dict[str, int]:
        """Return the sizes of the finished parts of a writer by their names in the output."""
        prefix = parts_prefix(output_uri, token)
        return {
            found.key.removeprefix(f"{prefix}/"): found.size_bytes
            for found in self.bucket.objects(prefix)
        }

    def drop_parts(self, output_uri: str, token: str) -> None:
        """Remove all parts of a writer."""
        prefix = parts_prefix(output_uri, token)
        self.bucket.delete([found.key for found in self.bucket.objects(prefix)])

    def drop(self, output_uri: str, token: str) -> None:
        """Remove the parts of a writer, and the claim last."""
        self.drop_parts(output_uri, token)
        self.bucket.delete([state_key(output_uri)])

    def settle(self, output_uri: str) -> bool:
        """Finish what a writer committed and did not live to name; tell whether there was any."""
        found = self.read(output_uri)
        if found is None or not found[0].is_committed:
            return False
        self.name_parts(output_uri, found[0])
        return True

    def name_parts(self, output_uri: str, claim: Claim) -> None:
        """Give the parts of a committed claim their names, the manifest last; safe to repeat.

        Raises:
            AlreadyExistsError: OUTPUT_EXISTS, another manifest is there.
        """
        prefix = parts_prefix(output_uri, claim.token)
        manifest_key = f"{output_uri}/{claim.manifest}"
        if not self._is_there(manifest_key):
            names = [name for name in self.parts(output_uri, claim.token) if name != claim.manifest]
            try:
                in_parallel(
                    lambda name: self.bucket.copy(f"{prefix}/{name}", f"{output_uri}/{name}"), names
                )
                manifest, _ = self.bucket.get(
                    f"{prefix}/{claim.manifest}", max_bytes=_MAX_MANIFEST_BYTES
                )
            except NotFoundError:
                # Parts go only after all have their names: somebody was here before. If there is
                # no manifest, the output has been deleted since.
                log.info("commit_was_named", output=output_uri)
            else:
                self._write_manifest(output_uri, manifest_key, manifest)
        self.drop(output_uri, claim.token)

    def _write_manifest(self, output_uri: str, key: str, manifest: bytes) -> None:
        try:
            self.bucket.put_if(key, manifest, None)
        except ConflictError:
            stored, _ = self.bucket.get(key, max_bytes=len(manifest) + 1)
            if stored != manifest:
                raise output_exists(output_uri) from None

    def _is_there(self, key: str) -> bool:
        try:
            self.bucket.head(key)
        except NotFoundError:
            return False
        return True


def state_key(output_uri: str) -> str:
    """Return the key of the claim on an output."""
    return f"{_hidden_prefix(output_uri)}/state.json"


def parts_prefix(output_uri: str, token: str) -> str:
    """Return where a writer's finished parts lie."""
    return f"{_hidden_prefix(output_uri)}/parts/{token}"


def _hidden_prefix(output_uri: str) -> str:
    parent, slash, name = output_uri.rpartition("/")
    return f"{parent}{slash}{hidden_name(name)}"
