"""A gcloud that is made up, of a pod with eight workers. It writes down every command that it is given."""

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
