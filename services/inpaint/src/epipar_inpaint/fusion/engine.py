"""The engine "fusion": what another view has seen, planes for the rest, and paint put on in 3D."""

from __future__ import annotations

from epipar_inpaint.engine import Capabilities, CompletionRequest, CompletionResult, Preview
from epipar_inpaint.fusion.completed_info import NAME, VERSION
from epipar_inpaint.fusion.run import Run
from epipar_inpaint.painters import PAINTER_NAMES
from epipar_inpaint.scenes import corrupt_artifacts
from epipar_kit.errors import InvalidInputError, typed_storage_errors
from epipar_kit.events import Report

CAPABILITIES = Capabilities(
    version=VERSION,
    description="Other views, world planes and exemplars; needs no weights and no GPU.",
    licence="Apache-2.0",
    needs_gpu=False,
    painters=PAINTER_NAMES,
)


class FusionEngine:
    """Completes scenes on a CPU."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; see engine.CompletionEngine."""
        return CAPABILITIES

    def complete(
        self, request: CompletionRequest, report: Report, preview: Preview
    ) -> CompletionResult:
        """Fill request.output with a completed scene; see engine.CompletionEngine.

        Raises:
            InvalidInputError: BAD_OPTION, the painter or an option does not exist.
            CorruptArtifactError: a file of the scene or of the masks is not what it must be.
        """
        if request.options.extra:
            name = min(request.options.extra)
            raise InvalidInputError(
                "BAD_OPTION",
                f"options.{name}",
                f"option {name[:80]!r} does not exist in engine {NAME!r}",
            )
        with typed_storage_errors(), corrupt_artifacts():
            return Run(request, report, preview).run()
