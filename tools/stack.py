"""A deployed stack: its state, recovery from an interrupted deploy, and its previous releases.

A release is the template as it was deployed, which names the uploaded code, its parameters, and
the versions of its models.
Each is recorded in the stack's own bucket, under releases/, before the next one replaces it.
"""

import dataclasses
import json
import time
import urllib.parse
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore.exceptions

FOLDER = "releases/"
POLL_SECONDS = 5.0
PATIENCE_SECONDS = 3600.0  # a canary of 30 minutes, and its rollback
# States of a stack whose creation failed: it can only be deleted and created again.
STILLBORN = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}


class StackFailed(Exception):
    """The stack can't be used; the message says why and what to do next."""


@dataclasses.dataclass(frozen=True)
class Release:
    """What was deployed: the template with its parameters.

    models: the version that each model's channel pointed to, which matters if it follows them.
    """

    template: str
    parameters: dict[str, str]
    models: dict[str, str] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """Git commit and model version, as `make deploy` names it."""
        return self.parameters.get("Release", "unnamed")

    @property
    def overrides(self) -> list[str]:
        """The parameters as the SAM CLI parses them, empty values in quotes."""
        pairs = sorted(self.parameters.items())
        return [f"{name}={value}" if value else f'{name}=""' for name, value in pairs]


class Stack:
    """A stack by name in the environment's account and region; it need not exist yet."""

    def __init__(self, name: str, region: str | None = None) -> None:
        self.name = name
        session: Any = boto3.Session(region_name=region)
        self._cloudformation = session.client("cloudformation")
        self._s3 = session.client("s3")
        self._keys = session.client("apigateway")

    @property
    def is_local(self) -> bool:
        """Whether its AWS is an emulator on this machine."""
        endpoint = urllib.parse.urlsplit(self._cloudformation.meta.endpoint_url)
        return endpoint.hostname in {"localhost", "127.0.0.1", "::1"}

    def described(self) -> dict[str, Any] | None:
        """CloudFormation's description of the stack; None if there is no such stack."""
        try:
            (stack,) = self._cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        except botocore.exceptions.ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return None if stack["StackStatus"] == "DELETE_COMPLETE" else dict(stack)

    def outputs(self) -> dict[str, str]:
        """Outputs by name.

        Raises StackFailed if there is no stack.
        """
        stack = self.described()
        if stack is None:
            raise StackFailed(f"there is no stack {self.name}; run make deploy first")
        outputs = stack.get("Outputs", [])
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def parameters(self) -> dict[str, str]:
        """Parameters by name; empty if there is no stack."""
        parameters = (self.described() or {}).get("Parameters", [])
        return {p["ParameterKey"]: p["ParameterValue"] for p in parameters}

    def api_key(self) -> str | None:
        """Value of the API key; None in an AuthMode without keys."""
        key_id = self.outputs().get("ApiKeyId")
        if key_id is None:
            return None
        return str(self._keys.get_api_key(apiKey=key_id, includeValue=True)["value"])

    def repair(self) -> bool:
        """Bring the stack to a state that can be deployed to; return whether it exists.

        Waits for operations in progress, resumes a rollback that stopped halfway, and deletes a
        stack whose creation failed: it never worked, and its bucket is kept.
        Raises StackFailed if the stack does not become stable.
        """
        status = self._stable_status()
        if status == "UPDATE_ROLLBACK_FAILED":
            self._cloudformation.continue_update_rollback(StackName=self.name)
            status = self._stable_status()
        if status in STILLBORN:
            self._cloudformation.delete_stack(StackName=self.name)
            status = self._stable_status()
        if status and status != "REVIEW_IN_PROGRESS" and not status.endswith("_COMPLETE"):
            raise StackFailed(
                f"stack {self.name} is in {status}; see its events in the CloudFormation console, "
                "fix their cause, then deploy again"
            )
        return status is not None and status != "REVIEW_IN_PROGRESS"

    def current(self) -> Release:
        """The deployed release.

        Raises StackFailed if there is no stack.
        """
        if self.described() is None:
            raise StackFailed(f"there is no stack {self.name}; run make deploy first")
        body = self._cloudformation.get_template(StackName=self.name, TemplateStage="Original")
        template = body["TemplateBody"]
        text = template if isinstance(template, str) else json.dumps(template)
        return Release(text, self.parameters())

    def remember(self, models: dict[str, str]) -> None:
        """Record the deployed release, so that a rollback can return to it.

        models: the version that each model's channel points to.
        """
        release = dataclasses.replace(self.current(), models=models)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        self._s3.put_object(
            Bucket=self.outputs()["ModelBucketName"],
            Key=f"{FOLDER}{stamp}-{release.name}.json",
            Body=json.dumps(dataclasses.asdict(release)).encode(),
            ContentType="application/json",
        )

    def former(self) -> tuple[Release, list[str]]:
        """The previous release, and the keys to forget once it is deployed.

        Records equal to the deployed release are skipped: a failed deploy left them.
        Raises StackFailed if there is no previous release.
        """
        current = self.current()
        bucket = self.outputs()["ModelBucketName"]
        keys = []
        for key in sorted(self._records(bucket), reverse=True):
            keys.append(key)
            content = json.loads(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            if (release := Release(**content)) != current:
                return release, keys
        raise StackFailed(
            f"stack {self.name} has no release before {current.name}; deploy the one you want"
        )

    def forget(self, keys: list[str]) -> None:
        """Delete records; the bucket is versioned and keeps their content."""
        bucket = self.outputs()["ModelBucketName"]
        for key in keys:
            self._s3.delete_object(Bucket=bucket, Key=key)

    def _records(self, bucket: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=FOLDER)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def _stable_status(self) -> str | None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            stack = self.described()
            status = str(stack["StackStatus"]) if stack else None
            # A change set that was never executed stays in review forever.
            if not status or status == "REVIEW_IN_PROGRESS" or not status.endswith("_IN_PROGRESS"):
                return status
            time.sleep(POLL_SECONDS)
        raise StackFailed(
            f"stack {self.name} still changes after {PATIENCE_SECONDS:.0f} s; see its events"
        )
