"""A version as an InferenceService of KServe, served by this project's server or by Triton.

Source: KServe's API reference, serving.kserve.io/v1beta1. Only what KServe's Knative mode accepts
too is written: one port, and the security context of the container, not the pod's.
"""

import json
import re

from classifier.model.address import AddressError, Bucket, parse_address
from classifier.model.manifest import Manifest
from model_build.errors import ExportRefused
from model_build.exporting.folder import Files

FILE = "inference-service.yaml"
_LONGEST = 40  # characters of a name: a host's name of 63 holds the namespace and more


def files(
    manifest: Manifest, store: str, *, image: str, service_account: str, triton: str
) -> Files:
    """File of the InferenceService, for `kubectl apply`.

    store: URL of the version's model store. image: this project's server. service_account: empty
    for the namespace's own. triton: URL of the Triton repository to serve instead, or empty.
    Raises ExportRefused for an URL that pods can't reach.
    """
    account = f"\n    serviceAccountName: {_text(service_account)}" if service_account else ""
    predictor = (
        _triton(_reachable(triton)) if triton else _server(manifest, _reachable(store), image)
    )
    document = f"""\
# {manifest.name} {manifest.version}
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {_text(_service_name(manifest.name))}
spec:
  predictor:
    minReplicas: 1{account}
{predictor}"""
    return {FILE: document.encode()}


def _server(manifest: Manifest, store: str, image: str) -> str:
    """Predictor that fetches and checks the version itself; it speaks version 2 of the protocol."""
    return f"""\
    containers:
      - name: kserve-container
        image: {_text(image)}
        env:
          - name: MODEL_STORE_URL
            value: {_text(store)}
          - name: MODEL_NAME
            value: {_text(manifest.name)}
          - name: MODEL_VERSION
            value: {_text(manifest.version)}
        ports:
          - containerPort: 5000
            protocol: TCP
        readinessProbe:
          httpGet: {{path: /ready, port: 5000}}
          timeoutSeconds: 5
        livenessProbe:
          httpGet: {{path: /health, port: 5000}}
          timeoutSeconds: 5
        resources:
          requests: {{cpu: 500m, memory: 256Mi}}
          limits: {{cpu: "1", memory: 1Gi}}
        securityContext:
          allowPrivilegeEscalation: false
          capabilities: {{drop: [ALL]}}
          readOnlyRootFilesystem: true
          runAsNonRoot: true
          runAsUser: 65532
          seccompProfile: {{type: RuntimeDefault}}
        volumeMounts:
          - name: tmp
            mountPath: /tmp
    volumes:
      - name: tmp
        emptyDir: {{}}
"""


def _triton(repository: str) -> str:
    """Predictor of KServe's runtime for Triton, which loads every model of a repository."""
    return f"""\
    model:
      runtime: kserve-tritonserver
      modelFormat:
        name: onnx
      protocolVersion: v2
      storageUri: {_text(repository)}
"""


def _service_name(name: str) -> str:
    """Name of a model as KServe takes it: lower case, digits and hyphens, a letter first."""
    label = re.sub("[^a-z0-9]+", "-", name.lower())
    return (label if label[0].isalpha() else f"model-{label}")[:_LONGEST].rstrip("-")


def _reachable(url: str) -> str:
    try:
        address = parse_address(url)
    except AddressError as error:
        raise ExportRefused(str(error)) from error
    if not isinstance(address, Bucket):
        raise ExportRefused(
            f"pods can't read {url}; expected s3://bucket/prefix, which "
            "`python -m model_build copy` fills"
        )
    return url.rstrip("/")


def _text(value: str) -> str:
    """String of YAML in double quotes, which is JSON's."""
    return json.dumps(value)
