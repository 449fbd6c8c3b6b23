"""Whether a pod may use a bucket, and what traffic between the two would cost: asked before a pod is."""

import json
from collections.abc import Sequence

from trm_scaling.config import RunConfig, Schedule
from trm_scaling.cost.memory import storage_of
from trm_scaling.errors import UserError
from trm_scaling.run.launch.pod import NOTHING_STARTED, Note, last_lines, run_step
from trm_scaling.run.launch.tpu_vm import Step
from trm_scaling.tasks.task import spec_of

USD_PER_GB = {"continent": 0.02, "ocean": 0.08, "internet": 0.12}
"""Between two regions of one continent, between continents, and out of Google's network. Estimates of
November 2026; a grant covers none of it."""

_CONTINENT = {"eu": "europe", "eur4": "europe", "nam4": "us"}
"""Of buckets in several regions, which have names of their own."""


def describe(url: str) -> Step:
    """What Google Cloud knows of the bucket, as JSON."""
    bucket = url.removeprefix("gs://").partition("/")[0]
    return Step(
        "look at the bucket", ("gcloud", "storage", "buckets", "describe", f"gs://{bucket}", "--format=json")
    )


def refuse(url: str, zone: str, configs: Sequence[RunConfig], agreed: bool, note: Note) -> None:
    """Raise UserError when the bucket at `url` is not there or not allowed, and when it lies in another
    region than `zone` unless it was `agreed` to pay for that."""
    bucket = "/".join(url.split("/")[:3])
    region = zone.rpartition("-")[0]
    if url.startswith("s3://"):
        location, rate = "another provider's network", USD_PER_GB["internet"]
    else:
        ran = run_step(describe(url), note, NOTHING_STARTED)
        if ran.returncode:
            raise UserError(f"{_why(ran.stderr, bucket, region)} {NOTHING_STARTED}")
        location = str(json.loads(ran.stdout)["location"]).lower()
        if location == region:
            return
        near = _CONTINENT.get(location, location.partition("-")[0]) == region.partition("-")[0]
        rate = USD_PER_GB["continent" if near else "ocean"]
    size = max(_checkpoint_bytes(config) for config in configs) / 1e9
    message = (
        f"{bucket} lies in {location} and the pod in {region}: traffic between them is billed at about "
        f"${rate:.2f} a GB, ${rate * size:.2f} for each checkpoint of {size:.1f} GB."
    )
    if not agreed:
        raise UserError(
            f"{message} Make a bucket beside the pod (`gcloud storage buckets create gs://NAME "
            f"--location={region}`), or add --yes-billed. {NOTHING_STARTED}"
        )
    note(f"warning: {message}")


def _checkpoint_bytes(config: RunConfig) -> int:
    spec, schedule = spec_of(config.data), Schedule.of(config, config.data.train_size)
    return storage_of(config, schedule, spec.vocab_size, spec.seq_len, None).checkpoint


def _why(said: str, bucket: str, region: str) -> str:
    if "404" in said or "not found" in said.lower():
        make = f"gcloud storage buckets create {bucket} --location={region}"
        return f"there is no bucket {bucket}: `{make}` makes it."
    if "403" in said or "permission" in said.lower() or "does not have" in said:
        return (
            f"no permission on {bucket} ({last_lines(said)}). Its owner grants it: `gcloud storage buckets "
            f"add-iam-policy-binding {bucket} --member=user:YOU --role=roles/storage.admin`; the "
            "pod's service account needs roles/storage.objectAdmin."
        )
    return f"{bucket} could not be looked at: {last_lines(said)}."
