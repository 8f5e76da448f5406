"""A real Slurm on one machine: munge, slurmctld and several slurmd of Debian's slurm-wlm.

Root and apt are needed, systemd and cgroups are not, and /etc stays as it is: everything lies in
one folder, which SLURM_CONF names. By hand: python tests/cluster/slurm.py FOLDER, until Enter.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

TOOLS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scontrol")
NODES = ("n1", "n2", "n3")
# nodes of the partition `gpu`; `cpu` has all
GPU_NODES = ("n1", "n2")
# far more than is needed, for a machine that has much else to do
_DEADLINE_S = 300.0

_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobcomp.log
# so long a job that has ended is shown
MinJobAge=3600
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
KillWait=30
{nodes}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=1-00:00:00 State=UP
PartitionName=gpu Nodes={gpu_nodes} MaxTime=1-00:00:00 State=UP
"""


def lacking() -> str | None:
    """Why no Slurm can be brought up here; none if one can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "a test cluster needs root"
    if shutil.which("apt-get") is None and any(shutil.which(tool) is None for tool in TOOLS):
        return "a test cluster needs Slurm and munge, or apt-get to install them"
    return None


def install() -> None:
    """Debian's packages, if they are not there."""
    if all(shutil.which(tool) for tool in TOOLS):
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "slurm-wlm", "munge"]
    for command in (["apt-get", "update", "-qq"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")


def wait_for(what: str, true: Callable[[], object], deadline_s: float = _DEADLINE_S) -> object:
    """Poll until something is true; TimeoutError, with its name, after the deadline."""
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        if value := true():
            return value
        time.sleep(0.1)
    raise TimeoutError(f"not within {deadline_s:g} s: {what}")


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


class Cluster:
    """Three nodes on this machine; two have a GPU that is none (a second /dev/null).

    Parameters
    ----------
    folder
        Where everything lies; its path must be short (sockets) and seen by all.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = _free_ports(1 + len(NODES))

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a user of this cluster."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
        path = f"{self.folder / 'bin'}{os.pathsep}{kept.get('PATH', os.defpath)}"
        return kept | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def start(self) -> None:
        """Bring everything up; returns when all nodes are idle."""
        (self.folder / "state").mkdir(parents=True)
        self._start_munge()
        self._configure()
        self._daemon("slurmctld")
        for node in NODES:
            self.start_node(node)
        wait_for("all nodes idle", lambda: set(self.states().values()) == {"idle"})

    def stop(self) -> None:
        """Take everything down, jobs included."""
        if (self.folder / "slurmctld.pid").exists():
            subprocess.run(["scancel", "--user=root"], env=self.environment, capture_output=True)
            try:
                wait_for("all jobs ended", lambda: not self.command("squeue", "--noheader"), 20)
            except (TimeoutError, RuntimeError) as error:
                sys.stderr.write(f"{error}\n")
        names = [*(f"slurmd-{node}" for node in NODES), "slurmctld", "munged"]
        pids = [pid for name in names if (pid := self._pid(name)) is not None and alive(pid)]
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        try:
            wait_for("the daemons ended", lambda: not any(map(alive, pids)), 10)
        except TimeoutError:
            for pid in filter(alive, pids):
                os.kill(pid, signal.SIGKILL)

    def command(self, *arguments: str) -> str:
        """Output of one of Slurm's commands."""
        done = subprocess.run(arguments, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def states(self) -> dict[str, str]:
        """Node -> its state."""
        rows = self.command("sinfo", "--noheader", "-N", "--partition=cpu", "--format=%N %t")
        return dict(row.split() for row in rows.splitlines())

    def jobs(self) -> list[dict[str, str]]:
        """All jobs so far, as Slurm's own records show them (`scontrol show job`)."""
        rows = self.command("scontrol", "--oneliner", "show", "job").splitlines()
        pairs = [[part.partition("=") for part in row.split()] for row in rows if "JobId=" in row]
        return [{name: value for name, _, value in row} for row in pairs]

    def jobs_of(self, rule: str, state: str | None = None) -> list[dict[str, str]]:
        """The jobs of a rule, the first one first; only those in a state, if one is named."""
        found = [
            job
            for job in self.jobs()
            if job.get("Comment", "").startswith(f"rule_{rule}")
            and (state is None or job["JobState"] == state)
        ]
        return sorted(found, key=lambda job: int(job["JobId"]))

    def start_node(self, node: str) -> None:
        """Start a node's slurmd."""
        self._daemon("slurmd", "-N", node)

    def lose_node(self, node: str) -> None:
        """End a node as a power cut does: its slurmd, and all that ran there, at once."""
        jobs = {
            j["JobId"] for j in self.jobs() if j["JobState"] == "RUNNING" and j["NodeList"] == node
        }
        pid = self._pid(f"slurmd-{node}")
        assert pid is not None
        tasks = [task for job in jobs for task in self.processes(job)]
        # their parents are Slurm's own, one for each step, which would report the end
        steps = {_parent(task) for task in tasks}
        doomed = [pid, *(step for step in steps if _name(step) == "slurmstepd"), *tasks]
        for each in doomed:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)

    def processes(self, job: str) -> list[int]:
        """Processes of a job, found by their environment."""
        wanted = {f"SLURM_CONF={self.folder / 'slurm.conf'}", f"SLURM_JOB_ID={job}"}
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    variables = (entry / "environ").read_bytes().decode(errors="replace")
                    if wanted <= set(variables.split("\0")):
                        found.append(int(entry.name))
        return sorted(found)

    def _daemon(self, *command: str) -> None:
        path = shutil.which(command[0]) or f"/usr/sbin/{command[0]}"
        done = subprocess.run(
            [path, *command[1:]], env=self.environment, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")

    def _pid(self, name: str) -> int | None:
        path = self.folder / f"{name}.pid"
        text = path.read_text().strip() if path.exists() else ""
        return int(text) if text.isdigit() else None

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        # its folder is under /tmp, which all may write to: munged must be told that it is meant
        self._daemon(
            "munged",
            "--force",
            f"--socket={self.folder / 'munge.socket'}",
            f"--key-file={key}",
            f"--pid-file={self.folder / 'munged.pid'}",
            f"--log-file={self.folder / 'munged.log'}",
            f"--seed-file={self.folder / 'munged.seed'}",
        )

    def _configure(self) -> None:
        host = socket.gethostname().partition(".")[0]
        pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        nodes = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
            f"CPUs=2 RealMemory={max(32000, pages // 2**20)} State=UNKNOWN"
            + (" Gres=gpu:fake:1" if node in GPU_NODES else "")
            for node, port in zip(NODES, self._ports[1:], strict=True)
        ]
        (self.folder / "slurm.conf").write_text(
            _CONF.format(
                host=host,
                port=self._ports[0],
                folder=self.folder,
                nodes="\n".join(nodes),
                gpu_nodes=",".join(GPU_NODES),
            )
        )
        # Snakemake's executor forgets SLURM_CONF inside jobs; with /etc/slurm it would not matter
        (self.folder / "bin").mkdir()
        srun = self.folder / "bin" / "srun"
        srun.write_text(
            f'#!/bin/sh\nSLURM_CONF={self.folder / "slurm.conf"} exec {shutil.which("srun")} "$@"\n'
        )
        srun.chmod(0o755)
        rows = []
        for node in GPU_NODES:
            device = self.folder / f"{node}-gpu0"
            os.mknod(device, 0o666 | 0o020000, os.makedev(1, 3))
            rows.append(f"NodeName={node} Name=gpu Type=fake File={device}")
        (self.folder / "gres.conf").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    if reason := lacking():
        sys.exit(reason)
    install()
    cluster = Cluster(Path(sys.argv[1]).resolve())
    cluster.start()
    try:
        sys.stdout.write(f"export SLURM_CONF={cluster.folder / 'slurm.conf'}\n")
        sys.stdout.flush()
        sys.stdin.readline()
    finally:
        cluster.stop()
