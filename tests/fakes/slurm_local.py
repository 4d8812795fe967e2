"""A real SLURM on this machine, started from nothing. By hand, as root, it also runs a study through the slurm profile:

    python tests/fakes/slurm_local.py [--cores 2] [--study smoke]

Needs Debian's slurm-wlm. Writes /etc/slurm/slurm.conf (only if there is none) because the job step of Snakemake's executor plugin
drops SLURM_CONF; removes it and stops the daemons at the end. Prints job numbers, states and the wall time.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ETC = Path("/etc/slurm/slurm.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
INSTALL = "SENSEI_INSTALL_SLURM"  # set and not empty: install the packages
# Two partitions of one node; a job of `high` takes it from jobs of `main`, which are queued again. No cgroups, no accounting.
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
KillWait=30
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} Sockets=1 CoresPerSocket={cores} ThreadsPerCore=1 RealMemory=64000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=1440 State=UP PriorityTier=1 GraceTime=30 PreemptMode=REQUEUE
PartitionName=high Nodes={host} MaxTime=1440 State=UP PriorityTier=10 PreemptMode=OFF
"""


def obstacle() -> str | None:
    """Why there can be no cluster here, after an attempt to install its packages where that is allowed; None if there can be one."""
    if os.getuid() != 0:
        return "a SLURM of one's own is started by root"
    if missing() and os.environ.get(INSTALL) and shutil.which("apt-get"):
        install()
    if missing():
        return f"no {', '.join(missing())}: apt-get install slurm-wlm, or set {INSTALL}=1"
    if ETC.exists():
        return f"{ETC} exists: this machine has a SLURM of its own, which is left alone"
    return None


def missing() -> list[str]:
    """Programs that a cluster needs and that are not here."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def install() -> None:
    """Install Debian's SLURM; its services are not needed, and containers keep them from starting."""
    settings = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", "slurm-wlm"]):
        subprocess.run(["apt-get", *words], env=settings, stdout=subprocess.DEVNULL, check=True)


@dataclass(frozen=True)
class Cluster:
    """A running cluster of one node, which is called `node`."""

    node: str

    def control(self, *words: str) -> None:
        """`scontrol`."""
        subprocess.run(["scontrol", *words], check=True, capture_output=True, text=True)

    def jobs(self) -> dict[int, str]:
        """Number -> state of every job there has been."""
        shown = squeue("--states=all", "--noheader", "--format=%i %T")
        return {int(number): state for number, state in map(str.split, shown.splitlines())}

    def limit(self, job: int) -> str:
        """Time limit of a job, as days-hours:minutes:seconds."""
        return squeue(f"--jobs={job}", "--noheader", "--format=%l").strip()


@contextlib.contextmanager
def cluster(cores: int) -> Iterator[Cluster]:
    """Start munge, controller and node daemon; stop them and take the configuration away at the end."""
    host = socket.gethostname().split(".")[0]
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/var/tmp"))
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    ETC.parent.mkdir(exist_ok=True)
    with ETC.open("x") as file:
        file.write(CONFIGURATION.format(host=host, folder=folder, cores=cores))
    munge = ["munged", "-F", f"--key-file={key}", f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid"]
    munge += [f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed", "--force"]
    daemons = []
    try:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            daemons.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            time.sleep(1)
        wait_until(lambda: "idle" in node_states(), 60, "an idle node")
        try:
            yield Cluster(host)
        finally:
            subprocess.run(["scancel", "--user=root"], check=True)
            wait_until(lambda: not squeue("--noheader"), 60, "jobs to end")
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(timeout=30)
        ETC.unlink()
        shutil.rmtree(folder, ignore_errors=True)


def node_states() -> str:
    """States of the nodes, empty while the controller does not answer."""
    return subprocess.run(["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True, check=False).stdout


def squeue(*words: str) -> str:
    """What `squeue` shows."""
    return subprocess.run(["squeue", *words], check=True, capture_output=True, text=True).stdout


def wait_until(there: Callable[[], object], seconds: float, what: str) -> None:
    """Return when `there()` holds."""
    deadline = time.monotonic() + seconds
    while not there():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)


def submission(study: Path, *words: str) -> list[str]:
    """The command that runs a study through the profile, for a cluster that answers at once."""
    command = [sys.executable, "-m", "snakemake", *words, "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "workflow" / "profiles" / "slurm"), "--latency-wait", "5"]
    command += ["--slurm-init-seconds-before-status-checks", "5", "--set-threads", "explore=1", "learn=1", "distil=1"]
    command += ["--default-resources", "slurm_partition=main", "mem_mb=1000", "runtime=30"]
    return [*command, "--configfile", str(study)]


def main() -> int:
    """Submit the study and print what SLURM ran."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2, help="cores the node claims to have")
    parser.add_argument("--study", default="smoke", help="file of config/")
    arguments = parser.parse_args()
    if why := obstacle():
        sys.exit(why)
    with cluster(arguments.cores) as slurm:
        started = time.monotonic()
        command = submission(ROOT / "config" / f"{arguments.study}.yaml", "--jobs", str(arguments.cores))
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        print(*(f"job {number}: {state}" for number, state in slurm.jobs().items()), sep="\n")
        print(f"snakemake ended with {code} after {time.monotonic() - started:.0f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())
