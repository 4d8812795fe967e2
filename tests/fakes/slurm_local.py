"""A real SLURM on this machine, started from nothing, and a study submitted through the slurm profile. Run by hand, as root:

    python tests/fakes/slurm_local.py [--cores 2] [--study smoke]

Needs Debian's slurm-wlm. Writes /etc/slurm/slurm.conf and gres.conf (only if they are not there) because the job step of Snakemake's
executor plugin drops SLURM_CONF; removes them and stops the daemons at the end. Prints job numbers, states and the wall time.
"""

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ETC = Path("/etc/slurm")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobcomp.txt
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
MinJobAge=3600
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} Sockets=1 CoresPerSocket={cores} ThreadsPerCore=1 RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=1440 State=UP
"""


@contextlib.contextmanager
def cluster(cores: int) -> Iterator[Path]:
    """Start munge, controller and node daemon; stop them and take the configuration away at the end."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/var/tmp"))
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    if (ETC / "slurm.conf").exists():
        sys.exit(f"{ETC}/slurm.conf exists: this machine has a SLURM of its own, which is left alone")
    ETC.mkdir(exist_ok=True)
    host = socket.gethostname().split(".")[0]
    (ETC / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder, cores=cores))
    munge = ["munged", "-F", f"--key-file={key}", f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid"]
    munge += [f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed", "--force"]
    daemons = []
    try:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            daemons.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            time.sleep(1)
        wait_for_idle_node()
        yield folder
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(timeout=30)
        (ETC / "slurm.conf").unlink()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_idle_node(seconds: float = 60) -> None:
    """Return when a node can take jobs."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False).stdout
        if "idle" in state:
            return
        time.sleep(0.5)
    raise TimeoutError(f"no idle node after {seconds:.0f} s")


def main() -> int:
    """Submit the study and print what SLURM ran."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2, help="cores the node claims to have")
    parser.add_argument("--study", default="smoke", help="file of config/")
    arguments = parser.parse_args()
    with cluster(arguments.cores):
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "workflow/profiles/slurm"]
        command += ["--configfile", f"config/{arguments.study}.yaml", "--latency-wait", "5", "--jobs", str(arguments.cores)]
        command += ["--slurm-init-seconds-before-status-checks", "5", "--set-threads", "explore=1", "learn=1", "distil=1"]
        command += ["--default-resources", "slurm_partition=main", "mem_mb=1000", "runtime=30"]
        started = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        seconds = time.monotonic() - started
        print(subprocess.run(["squeue", "--states=all", "-o", "%i %T %M %k"], capture_output=True, text=True, check=False).stdout)
        print(f"snakemake ended with {code} after {seconds:.0f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())
