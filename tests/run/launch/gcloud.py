"""A gcloud that is made up, of a pod with eight workers. It writes down every command that it is given.

Of a queue it is told what becomes of each request ($QUEUE, a file): a list of requests, each a list of the
states that one look after another finds, the last one for good. A state may be a pair, with what `create` or
a look says on standard error instead (`["error", "..."]`), or with the words of a failure (`["FAILED",
"..."]`).
"""

import os
import sys
from pathlib import Path

import pytest

# The first half of the workers does what it is told where the script holds $FAILING; all do elsewhere.
_PROGRAM = """\
#!{python}
import json, os, sys
words = sys.argv[1:]
with open({log!r}, "a") as log:
    print(" ".join(words), file=log)
if words[:2] == ["storage", "buckets"]:
    if os.environ.get("BUCKET_ERROR"):
        sys.exit(os.environ["BUCKET_ERROR"])
    print(json.dumps({{"name": words[3], "location": os.environ.get("LOCATION", "US-CENTRAL2")}}))
    sys.exit()
if words[2] == "queued-resources":
    with open(os.environ["QUEUE"]) as file:
        queue = json.load(file)
    verb, states = words[3], queue["requests"][0] if queue["requests"] else []
    if verb == "create":
        if states and states[0][0] == "error":
            queue["requests"][0] = states[1:]
            json.dump(queue, open(os.environ["QUEUE"], "w"))
            sys.exit(states[0][1])
        if queue["there"]:
            sys.exit("ERROR: (gcloud.compute.tpus.queued-resources.create) ALREADY_EXISTS: Resource exists")
        queue["there"] = True
    if verb in ("describe", "delete") and not queue["there"]:
        sys.exit(f"ERROR: (gcloud.compute.tpus.queued-resources.{{verb}}) NOT_FOUND: Resource was not found.")
    if verb == "delete":
        if states[0] == "SUSPENDING":
            queue["requests"][0] = states[1:]
            json.dump(queue, open(os.environ["QUEUE"], "w"))
            sys.exit("ERROR: FAILED_PRECONDITION: the resource is being suspended")
        queue["there"], queue["requests"] = False, queue["requests"][1:]
    if verb == "describe":
        state = states[0]
        if len(states) > 1:
            queue["requests"][0] = states[1:]
        word, reason = state if isinstance(state, list) else (state, "")
        if word == "error":
            json.dump(queue, open(os.environ["QUEUE"], "w"))
            sys.exit(reason)
        said = {{"state": word}}
        if reason:
            said["failedData"] = {{"error": {{"code": 8, "message": reason}}}}
        print(json.dumps({{"name": f"projects/p/locations/z/queuedResources/{{words[4]}}", "state": said}}))
    json.dump(queue, open(os.environ["QUEUE"], "w"))
    sys.exit()
verb, script = words[3], " ".join(words[4:])
if verb == "describe":
    if os.environ.get("DESCRIBE"):
        sys.exit(os.environ["DESCRIBE"])
    print(json.dumps({{"state": os.environ.get("STATE", "READY"), "networkEndpoints": [{{}}] * 8}}))
if os.environ.get("ALWAYS", "nothing") in script:
    sys.exit("ERROR: (gcloud.compute.tpus.tpu-vm.ssh) connection lost")
fails = os.environ.get("FAILING", "nothing") in script
without = int(os.environ.get("WITHOUT_SESSION", "0"))
reached = 4 if fails else 8
for marker in ("trm-free", "trm-installed", "trm-shared", "trm-started"):
    if verb == "ssh" and f"echo {{marker}}" in script:
        for worker in range(reached):
            print(marker, f"t1v-n-w-{{worker}}")
for marker in ("trm-asked", "trm-killed"):
    if verb == "ssh" and f"echo {{marker}}" in script:
        for worker in range(reached):
            print("trm-none" if worker < without else marker, f"t1v-n-w-{{worker}}")
if "tail" in script:
    logs = os.environ.get("LOGS", "").split("|")
    if len(logs) > 1 or logs[0]:
        count = sum("tail" in line for line in open({log!r}))
        print(logs[min(count, len(logs)) - 1], flush=True)
    print(os.environ.get("LOG", ""), flush=True)
    sys.exit(int(os.environ.get("ENDS", "0")))
if verb == "scp" and os.environ.get("KEEP"):
    import shutil
    shutil.copy(words[4], os.environ["KEEP"])
if verb == "scp" and "trm-results" in script and os.environ.get("RESULTS"):
    import shutil
    shutil.copy(os.environ["RESULTS"], words[5])
if fails:
    sys.exit(os.environ.get("SAID") or "ERROR: No matching distribution found for libtpu\\nworkers 4 to 7")
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put it on the PATH, before any other. Returns the file that it writes its commands to."""
    tools, log = folder / "tools", folder / "commands.txt"
    tools.mkdir()
    gcloud = tools / "gcloud"
    gcloud.write_text(_PROGRAM.format(python=sys.executable, log=str(log)))
    gcloud.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    log.touch()
    return log
