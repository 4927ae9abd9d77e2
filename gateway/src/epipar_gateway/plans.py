"""What a job will do: its steps, each one call of a compute service, fixed when it is queued."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.message import Message

from epipar.depth.v1 import depth_service_pb2 as depth_pb
from epipar.export.v1 import export_service_pb2 as export_pb
from epipar.inpaint.v1 import inpaint_service_pb2 as inpaint_pb
from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway.ids import output_name_from, scene_id_from
from epipar_kit.errors import InvalidInputError

DEFAULT_DEPTH_ENGINE = "mvs"
DEFAULT_COMPLETION_ENGINE = "fusion"
DEFAULT_EXPORT = "default"
HASH_LETTERS = 12

Request: TypeAlias = (
    depth_pb.PredictRequest
    | export_pb.ExportRequest
    | inpaint_pb.MaskIncompleteRequest
    | inpaint_pb.CompleteRequest
)

_REQUESTS: Mapping[str, type[Request]] = {
    "Predict": depth_pb.PredictRequest,
    "Export": export_pb.ExportRequest,
    "MaskIncomplete": inpaint_pb.MaskIncompleteRequest,
    "Complete": inpaint_pb.CompleteRequest,
}
_SERVICES = {
    "Predict": "depth",
    "Export": "export",
    "MaskIncomplete": "inpaint",
    "Complete": "inpaint",
}


QUEUES: Mapping[pb.Job.Kind.ValueType, tuple[str, ...]] = {
    pb.Job.KIND_RECONSTRUCTION: ("depth", "export"),
    pb.Job.KIND_EXPORT: ("export",),
    pb.Job.KIND_COMPLETION: ("inpaint", "inpaint", "export"),
}
"""Which queue each step of a kind of job waits in."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One call of a compute service.

    Attributes:
        name: of the step, such as "depth".
        method: "Predict", "Export", "MaskIncomplete" or "Complete".
        request: what is sent.
        engine: under which durations are remembered.
    """

    name: str
    method: str
    request: Request
    engine: str

    def __post_init__(self) -> None:
        if not isinstance(self.request, _REQUESTS[self.method]):
            raise TypeError(f"{self.method} takes no {type(self.request).__name__}")

    @property
    def service(self) -> str:
        """The compute service: "depth", "export" or "inpaint"."""
        return _SERVICES[self.method]

    @property
    def source(self) -> str:
        """Store key of what the call reads: of an upload, a scene or a completion."""
        if isinstance(self.request, depth_pb.PredictRequest):
            return self.request.input_uri
        return self.request.scene_uri

    @property
    def output(self) -> str:
        """Store key of the folder that the call writes."""
        if isinstance(self.request, inpaint_pb.MaskIncompleteRequest):
            return f"{self.request.scene_uri}/masks/{self.request.mask_set}"
        return self.request.output_uri


@dataclass(frozen=True, slots=True)
class JobPlan:
    """The steps of a job, in order; never empty.

    Attributes:
        scene: id of the scene it works on.
        steps: in order; never empty.
        output: store key of what it makes in the end.
        traceparent: of the request that started the job; "" where it was in no trace.
    """

    scene: str
    steps: tuple[StepPlan, ...]
    output: str
    traceparent: str = ""

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("a plan has no step; it needs one or more")

    @property
    def output_hash(self) -> str:
        """Hash of all requests: two plans with the same one make the same thing."""
        parts = [step.request.SerializeToString(deterministic=True) for step in self.steps]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the plan for the database; plan_from_bytes is its inverse."""
        steps = [
            {
                "name": step.name,
                "method": step.method,
                "engine": step.engine,
                "request": base64.b64encode(step.request.SerializeToString()).decode(),
            }
            for step in self.steps
        ]
        values = {
            "scene": self.scene,
            "output": self.output,
            "steps": steps,
            "traceparent": self.traceparent,
        }
        return json.dumps(values).encode()


def plan_from_bytes(data: bytes) -> JobPlan:
    """Read what JobPlan.to_bytes wrote."""
    values: dict[str, Any] = json.loads(data)
    steps = tuple(
        StepPlan(
            name=step["name"],
            method=step["method"],
            request=_REQUESTS[step["method"]].FromString(base64.b64decode(step["request"])),
            engine=step["engine"],
        )
        for step in values["steps"]
    )
    # Plans of earlier versions have no trace.
    return JobPlan(values["scene"], steps, values["output"], values.get("traceparent", ""))


def reconstruction_plan(
    request: pb.StartReconstructionRequest, scene_id: str, input_key: str
) -> JobPlan:
    """Plan depth, then the export "default" with zstd siblings unless the request has its own."""
    scene_uri = f"scenes/{scene_id}"
    engine = request.engine or DEFAULT_DEPTH_ENGINE
    depth = depth_pb.PredictRequest(
        input_uri=input_key,
        output_uri=scene_uri,
        engine=engine,
        options=request.depth if request.HasField("depth") else None,
    )
    output = f"{scene_uri}/exports/{DEFAULT_EXPORT}"
    export = _export_step(scene_uri, output, _with_zstd(request.export))
    return JobPlan(scene_id, (StepPlan("depth", "Predict", depth, engine), export), output)


def export_plan(request: pb.StartExportRequest) -> JobPlan:
    """Plan one export of a scene or of one of its completions.

    Raises:
        InvalidInputError: BAD_REQUEST with the field.
    """
    scene_id = scene_id_from(request.scene)
    uri = f"scenes/{scene_id}"
    if request.completion:
        uri += f"/completions/{output_name_from(request.completion, 'completion')}"
    name = request.export_name or _short_hash(request.options)
    output = f"{uri}/exports/{output_name_from(name, 'export_name')}"
    return JobPlan(scene_id, (_export_step(uri, output, request.options),), output)


def completion_plan(request: pb.StartCompletionRequest) -> JobPlan:
    """Plan a mask set, the completion with it, and its export "default".

    Raises:
        InvalidInputError: BAD_REQUEST with the field.
    """
    scene_id = scene_id_from(request.scene)
    if request.intent not in {inpaint_pb.INTENT_COMPLETE, inpaint_pb.INTENT_REMOVE}:
        raise InvalidInputError(
            "BAD_REQUEST",
            "intent",
            f"intent is {request.intent}; it must be INTENT_COMPLETE or INTENT_REMOVE",
        )
    scene_uri = f"scenes/{scene_id}"
    engine = request.engine or DEFAULT_COMPLETION_ENGINE
    complete = inpaint_pb.CompleteRequest(
        scene_uri=scene_uri,
        mask_set=_short_hash(request.masks),
        intent=request.intent,
        engine=engine,
        options=request.options if request.HasField("options") else None,
    )
    name = request.completion_name or _short_hash(complete)
    uri = f"{scene_uri}/completions/{output_name_from(name, 'completion_name')}"
    complete.output_uri = uri
    masks = inpaint_pb.MaskIncompleteRequest(
        scene_uri=scene_uri,
        mask_set=complete.mask_set,
        options=request.masks if request.HasField("masks") else None,
    )
    export = _export_step(uri, f"{uri}/exports/{DEFAULT_EXPORT}", _with_zstd(request.export))
    steps = (
        StepPlan("masks", "MaskIncomplete", masks, "masks"),
        StepPlan("complete", "Complete", complete, engine),
        export,
    )
    return JobPlan(scene_id, steps, uri)


def step_names(plan: JobPlan) -> Sequence[str]:
    """Return the names of a plan's steps."""
    return [step.name for step in plan.steps]


def _export_step(scene_uri: str, output_uri: str, options: export_pb.ExportOptions) -> StepPlan:
    request = export_pb.ExportRequest(scene_uri=scene_uri, output_uri=output_uri, options=options)
    codec = export_pb.Codec.Name(options.codec) if options.codec in {0, 1, 2, 3} else "unknown"
    return StepPlan("export", "Export", request, codec.removeprefix("CODEC_").lower())


def _with_zstd(options: export_pb.ExportOptions) -> export_pb.ExportOptions:
    copy = export_pb.ExportOptions()
    copy.CopyFrom(options)
    if not copy.precompress:
        copy.precompress.append("zstd")
    return copy


def _short_hash(message: Message) -> str:
    data = message.SerializeToString(deterministic=True)
    return hashlib.sha256(data).hexdigest()[:HASH_LETTERS]
