"""Faults put into rendered overlays, one for each thing that a rule must catch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tools.k8s_check.rendered import Object, Rendered, pod_of

Change = Callable[[Rendered], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault.

    Attributes:
        rule: that must find it.
        overlay: that it is put into, with a component perhaps.
        change: does it, to a copy.
        what: in words.
    """

    rule: str
    overlay: str
    what: str
    change: Change


def _get(world: Rendered, kind: str, prefix: str) -> Object:
    """Return an object by the beginning of its name: generated names end with a hash."""
    names = [i for i in world.of_kind(kind) if i["metadata"]["name"].startswith(prefix)]
    assert names, f"no {kind} {prefix}"
    return names[0]


def _pod(kind: str, name: str, **fields: Any) -> Change:
    return lambda world: pod_of(_get(world, kind, name)).update(copy.deepcopy(fields))


def _container(kind: str, name: str, **fields: Any) -> Change:
    def change(world: Rendered) -> None:
        pod_of(_get(world, kind, name))["containers"][0].update(copy.deepcopy(fields))

    return change


def _spec(kind: str, name: str, **fields: Any) -> Change:
    return lambda world: _get(world, kind, name)["spec"].update(copy.deepcopy(fields))


def _inside(kind: str, name: str, path: str, value: Any) -> Change:
    """Set the value at a path of keys and indexes below an object; None removes it."""

    def change(world: Rendered) -> None:
        place: Any = _get(world, kind, name)
        *way, last = [int(step) if step.isdecimal() else step for step in path.split("/")]
        for step in way:
            place = place[step]
        if value is None:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(copy.deepcopy(value))
        else:
            place[last] = copy.deepcopy(value)

    return change


def _remove(kind: str, name: str) -> Change:
    return lambda world: world.objects.remove(_get(world, kind, name))


def _add(item: Mapping[str, Any]) -> Change:
    return lambda world: world.objects.append(copy.deepcopy(dict(item)))


def _config(name: str, variable: str, value: str | None) -> Change:
    def change(world: Rendered) -> None:
        data = _get(world, "ConfigMap", name)["data"]
        if value is None:
            del data[variable]
        else:
            data[variable] = value

    return change


_POD = "spec/template/spec"
_FIRST = f"{_POD}/containers/0"
_GPU = "nvidia.com/gpu"
_META = {"namespace": "epipar"}
_BIND: dict[str, Any] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "epipar"},
    "rules": [],
}


MUTANTS = [
    Mutant("schema", "cpu", "a mistyped field", _pod("Deployment", "depth", hostnetwork=True)),
    Mutant("schema", "cpu", "text for a number", _spec("Deployment", "envoy", replicas="two")),
    Mutant("schema", "keda", "a mistyped field of KEDA's", _spec("ScaledObject", "depth", min=1)),
    Mutant("schema", "kueue", "no cluster queue", _spec("LocalQueue", "epipar", clusterQueue=7)),
    Mutant("schema", "cpu + monitoring", "an alert with no expression",
           _inside("PrometheusRule", "epipar", "spec/groups/0/rules/0/expr", None)),
    Mutant("schema-unknown", "cpu", "a removed API",
           lambda w: _get(w, "PodDisruptionBudget", "envoy").update(apiVersion="policy/v1beta1")),
    Mutant("service-selects-nothing", "cpu", "a mistyped selector",
           _spec("Service", "depth", selector={"app.kubernetes.io/name": "dept"})),
    Mutant("service-selects-nothing", "cpu", "a selector of everything",
           _spec("Service", "depth", selector={"app.kubernetes.io/part-of": "epipar"})),
    Mutant("service-port-unknown", "cpu", "a port that no container has",
           _inside("Service", "gateway", "spec/ports/0/targetPort", "grcp")),
    Mutant("statefulset-without-service", "cpu", "another service's name",
           _spec("StatefulSet", "gateway", serviceName="gateways")),
    Mutant("grpc-behind-one-address", "cpu", "a service with an address",
           _inside("Service", "depth", "spec/clusterIP", None)),
    Mutant("scrape-selects-nothing", "cpu + monitoring", "a port that is not there",
           _inside("ServiceMonitor", "epipar", "spec/endpoints/0/port", "prometheus")),
    Mutant("reference-unknown", "cpu", "a lost ConfigMap", _remove("ConfigMap", "depth-")),
    Mutant("reference-unknown", "cpu", "a lost account", _remove("ServiceAccount", "envoy")),
    Mutant("reference-unknown", "gpu", "a lost claim", _remove("PersistentVolumeClaim", "weights")),
    Mutant("reference-unknown", "cpu", "a lost priority", _remove("PriorityClass", "epipar-serv")),
    Mutant("reference-unknown", "cpu", "a secret that nobody promised",
           _inside("Deployment", "envoy", f"{_POD}/volumes/1/secret/secretName", "tls")),
    Mutant("key-unknown", "cpu", "another key of the database's secret",
           _inside("StatefulSet", "gateway", f"{_FIRST}/env/1/valueFrom/secretKeyRef/key", "uri")),
    Mutant("config-unused", "cpu", "settings that nobody reads",
           _add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "old", **_META}})),
    Mutant("namespace-differs", "cpu", "an object elsewhere",
           lambda w: _get(w, "Service", "depth")["metadata"].update(namespace="default")),
    Mutant("mount-without-volume", "cpu", "a volume forgotten",
           _inside("Deployment", "envoy", f"{_POD}/volumes/1", None)),
    Mutant("volume-without-mount", "cpu", "a mount forgotten",
           _inside("Deployment", "envoy", f"{_FIRST}/volumeMounts/1", None)),
    Mutant("scratch-unbounded", "cpu", "scratch without end",
           _inside("Deployment", "depth", f"{_POD}/volumes/0/emptyDir", {})),
    Mutant("scratch-over-limit", "cpu", "more scratch than the pod may write",
           _inside("Deployment", "depth", f"{_POD}/volumes/0/emptyDir/sizeLimit", "900Gi")),
    Mutant("scratch-over-volume", "cpu", "scratch that its volume does not take",
           _config("suite-", "EPIPAR_SCRATCH_MAX_BYTES", "53687091200")),
    Mutant("scratch-over-volume", "cpu", "scratch on the read-only root",
           _config("suite-", "EPIPAR_SCRATCH_DIR", "/scratch/epipar")),
    Mutant("claim-not-shared", "gpu", "weights for one node alone",
           _spec("PersistentVolumeClaim", "weights", accessModes=["ReadWriteOnce"])),
    Mutant("host-path", "cpu", "a folder of the node",
           _inside("Deployment", "depth", f"{_POD}/volumes/0",
                   {"name": "tmp", "hostPath": {"path": "/"}})),
    Mutant("resources-missing", "cpu", "no limit of memory",
           _inside("Deployment", "depth", f"{_FIRST}/resources/limits/memory", None)),
    Mutant("request-over-limit", "cpu", "more asked than allowed",
           _inside("Deployment", "depth", f"{_FIRST}/resources/requests/memory", "80Gi")),
    Mutant("gpu-request-not-limit", "gpu", "two asked, one allowed",
           lambda w: pod_of(_get(w, "Deployment", "depth"))["containers"][0]["resources"][
               "requests"].update({_GPU: 2})),
    Mutant("gpu-request-not-limit", "gpu-mig", "a request without its limit",
           lambda w: pod_of(_get(w, "CronJob", "inpaint-run"))["containers"][0]["resources"][
               "limits"].pop("nvidia.com/mig-3g.40gb")),
    Mutant("gpu-without-node", "gpu", "no toleration", _pod("CronJob", "inpaint-run", tolerations=[])),
    Mutant("gpu-without-node", "gpu-mig", "no selector",
           _pod("Deployment", "depth", nodeSelector={})),
    Mutant("gpu-node-without-gpu", "gpu", "a GPU's node for work on CPUs",
           _pod("Deployment", "export", nodeSelector={"nvidia.com/gpu.present": "true"})),
    Mutant("gpu-surge", "gpu", "a new pod that waits for a GPU forever",
           _inside("Deployment", "depth", "spec/strategy/rollingUpdate/maxSurge", 1)),
    Mutant("probe-missing", "cpu", "nobody asks whether it is ready",
           _inside("Deployment", "depth", f"{_FIRST}/readinessProbe", None)),
    Mutant("probe-port", "cpu", "a probe of another port",
           _inside("Deployment", "depth", f"{_FIRST}/livenessProbe/grpc/port", 50052)),
    Mutant("probe-kind", "cpu", "an open port counts as well",
           _inside("Deployment", "depth", f"{_FIRST}/startupProbe", {"tcpSocket": {"port": 50051}})),
    Mutant("probe-scheme", "cpu", "HTTP to a door with TLS",
           _inside("Deployment", "envoy", f"{_FIRST}/readinessProbe/httpGet/scheme", "HTTP")),
    Mutant("probe-harsh", "cpu", "dead after 10 s",
           _inside("Deployment", "depth", f"{_FIRST}/livenessProbe",
                   {"grpc": {"port": 50051}, "periodSeconds": 10, "failureThreshold": 1})),
    Mutant("grace-too-short", "cpu", "killed in the drain",
           _pod("Deployment", "depth", terminationGracePeriodSeconds=60)),
    Mutant("grace-too-short", "cpu", "a longer drain",
           _config("export-", "EPIPAR_EXPORT_GRACE_S", "600")),
    Mutant("no-pre-stop", "cpu", "calls meet a closed door",
           _inside("StatefulSet", "gateway", f"{_FIRST}/lifecycle", None)),
    Mutant("budget-missing", "cpu", "no budget", _remove("PodDisruptionBudget", "envoy")),
    Mutant("budget-selects-nothing", "cpu", "a mistyped budget",
           _spec("PodDisruptionBudget", "envoy", selector={"matchLabels": {"app": "envoy"}})),
    Mutant("budget-blocks", "cpu", "nobody may go",
           _spec("PodDisruptionBudget", "gateway", minAvailable=2)),
    Mutant("budget-blocks", "cpu", "nobody may go, in other words",
           _spec("PodDisruptionBudget", "depth", maxUnavailable=0)),
    Mutant("spread-missing", "cpu", "all on one node",
           _inside("StatefulSet", "gateway", f"{_POD}/topologySpreadConstraints", None)),
    Mutant("scale-target-unknown", "cpu", "a mistyped target",
           _inside("HorizontalPodAutoscaler", "depth", "spec/scaleTargetRef/name", "dept")),
    Mutant("scaled-twice", "keda", "two scalers",
           lambda w: w.objects.append({
               "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
               "metadata": {"name": "more", **_META},
               "spec": {"maxReplicas": 8, "scaleTargetRef": {
                   "apiVersion": "apps/v1", "kind": "Deployment", "name": "depth"}}})),
    Mutant("scaled-and-fixed", "cpu", "an apply sets the number back",
           _spec("Deployment", "depth", replicas=1)),
    Mutant("scale-bounds", "cpu", "more at least than at most",
           _spec("HorizontalPodAutoscaler", "envoy", minReplicas=9)),
    Mutant("cpu-not-requested", "cpu", "a share of nothing",
           _inside("Deployment", "depth", f"{_FIRST}/resources/requests/cpu", None)),
    Mutant("concurrency", "cpu", "pods that never get work",
           _config("gateway-", "EPIPAR_GATEWAY_DEPTH_CONCURRENCY", "1")),
    Mutant("concurrency", "keda", "more streams a pod than the gateway knows",
           _config("inpaint-", "EPIPAR_INPAINT_MAX_STREAMS", "5")),
    Mutant("trigger-secret-unknown", "keda", "no way to the database",
           _remove("TriggerAuthentication", "epipar-database")),
    Mutant("role-too-wide", "gpu", "secrets too",
           _inside("Role", "inpaint-runner", "rules/1/resources/1", "secrets")),
    Mutant("role-too-wide", "gpu", "any verb", _inside("Role", "inpaint-runner", "rules/0/verbs/0", "*")),
    Mutant("role-too-wide", "gpu", "somebody else's account",
           _inside("RoleBinding", "inpaint-runner", "subjects/0/name", "gateway")),
    Mutant("role-too-wide", "gpu", "every CronJob",
           _inside("Role", "inpaint-runner", "rules/2/resourceNames", None)),
    Mutant("role-cluster-wide", "gpu", "rights over all", _add(_BIND)),
    Mutant("binding-unknown", "gpu", "a role that is gone", _remove("Role", "inpaint-runner")),
    Mutant("account-default", "cpu", "one account for two",
           _pod("Deployment", "export", serviceAccountName="depth")),
    Mutant("token-mounted", "cpu", "a token without a use",
           _pod("Deployment", "depth", automountServiceAccountToken=True)),
    Mutant("token-mounted", "gpu", "a runner without its token",
           _pod("Deployment", "inpaint", automountServiceAccountToken=False)),
    Mutant("network-open", "cpu", "the compute services for everybody",
           _inside("NetworkPolicy", "depth", "spec/ingress/0/from", None)),
    Mutant("network-open", "cpu", "all ports out",
           _inside("NetworkPolicy", "store", "spec/egress/0/ports", None)),
    Mutant("network-open", "cpu", "a node's metadata",
           _inside("NetworkPolicy", "store", "spec/egress/0/to/0/ipBlock", {"cidr": "0.0.0.0/0"})),
    Mutant("network-open", "kind", "the database for everybody",
           _inside("NetworkPolicy", "postgresql", "spec/ingress/0/from", None)),
    Mutant("network-open", "cpu", "strangers at the counters",
           _inside("NetworkPolicy", "gateway", "spec/ingress/1/from/0/namespaceSelector", {})),
    Mutant("network-closed", "cpu + tracing", "spans that may not go out",
           _remove("NetworkPolicy", "traces")),
    Mutant("network-open", "gpu + tracing", "spans of everybody",
           _inside("NetworkPolicy", "traces", "spec/podSelector", {})),
    Mutant("network-closed", "cpu", "no names", _remove("NetworkPolicy", "dns")),
    Mutant("network-closed", "cpu", "another port",
           _inside("NetworkPolicy", "export", "spec/ingress/0/ports/0/port", 50051)),
    Mutant("network-closed", "gpu", "no way to the API", _remove("NetworkPolicy", "inpaint-runner")),
    Mutant("default-deny", "cpu", "no default", _remove("NetworkPolicy", "default-deny")),
    Mutant("policy-selects-nothing", "cpu", "a policy for nobody",
           _spec("NetworkPolicy", "export", podSelector={"matchLabels": {"app": "export"}})),
    Mutant("runs-as-root", "cpu", "any user", _pod("Deployment", "depth", securityContext={})),
    Mutant("runs-as-root", "cpu", "a container that overrides it",
           _inside("Deployment", "envoy", f"{_FIRST}/securityContext/runAsUser", 0)),
    Mutant("seccomp", "cpu", "every system call",
           _inside("Deployment", "envoy", f"{_POD}/securityContext/seccompProfile/type", "Unconfined")),
    Mutant("host-shared", "cpu", "the node's network", _pod("Deployment", "depth", hostNetwork=True)),
    Mutant("root-writable", "cpu", "a root to write on",
           _inside("Deployment", "depth", f"{_FIRST}/securityContext/readOnlyRootFilesystem", False)),
    Mutant("escalation", "cpu", "capabilities kept",
           _inside("Deployment", "depth", f"{_FIRST}/securityContext/capabilities", {})),
    Mutant("escalation", "cpu", "a capability added",
           _inside("Deployment", "depth", f"{_FIRST}/securityContext/capabilities/add", ["NET_RAW"])),
    Mutant("image-not-pinned", "cpu", "whatever is newest",
           _container("Deployment", "depth", image="epipar-depth:latest")),
    Mutant("image-not-pinned", "cpu", "no version at all, behind a port",
           _container("Deployment", "depth", image="registry:5000/epipar-depth")),
    Mutant("namespace-open", "cpu", "a namespace that takes all",
           lambda w: _get(w, "Namespace", "epipar")["metadata"].pop("labels")),
    Mutant("door-open", "cpu", "open by choice, with an address outside",
           _config("envoy-", "EPIPAR_ENVOY_ALLOW_PUBLIC_WITHOUT_AUTH", "true")),
    Mutant("door-open", "cpu", "no tokens", _config("envoy-", "EPIPAR_ENVOY_JWT_ISSUER", None)),
    Mutant("door-open", "kind", "a trial with an address outside",
           _spec("Service", "envoy", type="LoadBalancer")),
    Mutant("job-restarts-in-place", "gpu", "repeats that no policy sees",
           _pod("CronJob", "inpaint-run", restartPolicy="OnFailure")),
    Mutant("job-endless", "gpu", "no deadline",
           _inside("Job", "fetch-weights", "spec/activeDeadlineSeconds", None)),
    Mutant("job-counts-disruption", "gpu", "a drained node counts as a failure",
           _inside("CronJob", "inpaint-run", "spec/jobTemplate/spec/podFailurePolicy/rules/0", None)),
    Mutant("job-rule-unknown-container", "gpu", "a rule for nobody",
           _inside("CronJob", "inpaint-run",
                   "spec/jobTemplate/spec/podFailurePolicy/rules/1/onExitCodes/containerName", "worker")),
    Mutant("job-retries-bad-input", "gpu", "bad input again and again",
           _inside("CronJob", "inpaint-run", "spec/jobTemplate/spec/podFailurePolicy/rules/1/onExitCodes/values", [2])),
    Mutant("template-runs", "gpu", "a template that runs", _spec("CronJob", "inpaint-run", suspend=False)),
    Mutant("queue-unknown", "kueue", "a queue that is gone", _remove("LocalQueue", "epipar")),
    Mutant("queue-unknown", "kueue", "a run that does not wait",
           _inside("CronJob", "inpaint-run", "spec/jobTemplate/spec/suspend", None)),
    Mutant("run-without-model", "gpu", "runs that know no model",
           _inside("Deployment", "inpaint", f"{_FIRST}/env/2", None)),
    Mutant("run-without-model", "gpu", "another model than is fetched",
           _inside("Deployment", "inpaint", f"{_FIRST}/env/2/value", '{"model_id": "/weights/sd"}')),
    Mutant("template-two-pods", "gpu", "two writers of one checkpoint",
           _inside("CronJob", "inpaint-run", "spec/jobTemplate/spec/podReplacementPolicy", None)),
    Mutant("setting-refused", "cpu", "a mistyped setting",
           _config("depth-", "EPIPAR_DEPTH_MAX_STREAM", "1")),
    Mutant("setting-refused", "cpu", "a value out of its bounds",
           _config("gateway-", "EPIPAR_GATEWAY_MAX_ACTIVE_JOBS", "0")),
    Mutant("setting-refused", "cpu", "a door beyond loopback without TLS",
           _config("envoy-", "EPIPAR_ENVOY_TLS_CERT", None)),
    Mutant("setting-foreign", "cpu", "another's setting",
           _config("depth-", "EPIPAR_EXPORT_THREADS", "1")),
    Mutant("executor-not-stable", "cpu", "one name for all replicas",
           _inside("StatefulSet", "gateway", f"{_FIRST}/env/0",
                   {"name": "EPIPAR_GATEWAY_EXECUTOR_ID", "value": "gateway"})),
    Mutant("service-address", "cpu", "an address that is nobody's",
           _config("gateway-", "EPIPAR_GATEWAY_DEPTH_ADDRESS", "depth:50053")),
    Mutant("port-differs", "cpu", "a port that nobody listens on",
           _config("depth-", "EPIPAR_DEPTH_METRICS_PORT", "9465")),
]  # fmt: skip
"""Every rule has one at least: a test holds it."""
