"""What a Slurm cluster is asked for: the shipped values under a site's own; and can it give them.

The profile `slurm` and the Snakefile call this on the submitting host; jobs do not.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from dust3d.config.base import Count, Section
from dust3d.config.tree import nearest, section_at
from dust3d.errors import ClusterError, ConfigError

SITE_FILE = "site.yaml"
_PROFILE = Path("workflow", "profiles", "slurm")
# a controller under load may take its time, one that is gone may never answer
_PATIENCE_S = 60
# of a group's jobs Snakemake takes one value of each of these
_OF_A_GROUP = {
    "slurm_partition": "partition",
    "slurm_account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "gpu_model": "gpus",
    "mpi": "tasks",
}


def _as_text(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


# YAML reads 4711 as a number
Name = Annotated[str, BeforeValidator(_as_text)]


class Partitions(Section):
    """Where jobs go."""

    cpu: Name = Field(description="Partition of the jobs without a GPU.")
    gpu: Name = Field(description="Partition of the jobs with one.")


class Ask(Section):
    """What the first attempt of a rule's jobs asks for; the n-th asks for n times as much."""

    mem_mb: Count = Field(description="Memory [MB].")
    runtime_min: Count = Field(description="Time limit [min].")
    cpus: Count = Field(description="CPUs.")
    gpus: int = Field(default=0, ge=0, description="GPUs.")
    tasks: Count = Field(default=1, description="Processes that share a fit, started by srun.")
    partition: Name | None = Field(default=None, description="Instead of the one for its kind.")
    account: Name | None = Field(default=None, description="Instead of the site's.")
    qos: Name | None = Field(default=None, description="Instead of the site's.")
    constraint: Name | None = Field(default=None, description="Instead of the site's.")
    group: str | None = Field(default=None, description="Rules that go as one job.")


class Site(Section):
    """A cluster, as the profile describes it and a site's file changes it."""

    partitions: Partitions
    account: Name | None = None
    qos: Name | None = None
    constraint: Name | None = None
    # the executor refuses any other while the run is under way
    gpu_type: Name | None = Field(default=None, pattern=r"^[a-zA-Z0-9_.]+$")
    sbatch_options: str | None = None
    rules: dict[str, Ask]

    @field_validator("sbatch_options")
    @classmethod
    def _no_option_of_the_executor(cls, options: str | None) -> str | None:
        # with such an option the executor would stop, and the run hang
        from snakemake_executor_plugin_slurm.validation import get_forbidden_slurm_options

        for pattern, what in get_forbidden_slurm_options().items():
            if options and (found := re.search(pattern, options + " ")):
                raise ValueError(
                    f"`{found[0].strip(' =')}` may not stand here, as the executor sets the "
                    f"{what} itself; there are keys for account, qos, constraint, partitions, "
                    "and what each rule asks for"
                )
        return options

    @model_validator(mode="after")
    def _groups_agree(self) -> "Site":
        """Snakemake would find it out when the first such group is submitted."""
        asked, first = self.set_resources(), {}
        for rule, group in self.groups().items():
            other = first.setdefault(group, rule)
            for name, key in _OF_A_GROUP.items():
                ours, theirs = asked[rule].get(name), asked[other].get(name)
                if ours != theirs:
                    raise ValueError(
                        f"rules.{other} and rules.{rule} go as one job (group `{group}`), but "
                        f"their {key} differs ({theirs or 'none'}, {ours or 'none'}): give all "
                        f"rules of the group the same, or take one out of it (`group: null`)"
                    )
        return self

    def default_resources(self) -> dict[str, str]:
        """Resources of every job, as the profile states them."""
        asked = {"slurm_partition": _quoted(self.partitions.cpu)} | _quoted_all(
            slurm_account=self.account, qos=self.qos, constraint=self.constraint
        )
        return asked | _quoted_all(slurm_extra=self.sbatch_options)

    def set_resources(self) -> dict[str, dict[str, Any]]:
        """Resources of each rule, as the profile states them."""
        return {rule: self._resources(ask) for rule, ask in self.rules.items()}

    def groups(self) -> dict[str, str]:
        """Rule -> its group, for the rules that have one."""
        return {rule: ask.group for rule, ask in self.rules.items() if ask.group is not None}

    def limits(self) -> dict[str, int]:
        """What jobs of a group may have together: Snakemake holds single jobs to it, too."""
        return {"cpus_per_task": max([2, *(ask.cpus for ask in self.rules.values())])}

    def _resources(self, ask: Ask) -> dict[str, Any]:
        partition = ask.partition or (self.partitions.gpu if ask.gpus else self.partitions.cpu)
        resources = {
            "mem_mb": f"{ask.mem_mb} * attempt",
            "runtime": f"{ask.runtime_min} * attempt",
            "cpus_per_task": ask.cpus,
            "gpu": ask.gpus,
            "slurm_partition": _quoted(partition),
        } | _quoted_all(
            slurm_account=ask.account or self.account,
            qos=ask.qos or self.qos,
            constraint=ask.constraint or self.constraint,
            gpu_model=self.gpu_type if ask.gpus else None,
        )
        if ask.gpus > 1 and ask.tasks == 1:
            # a process sees the GPUs of its own node only
            resources["nodes"] = 1
        if ask.tasks > 1:
            # of a job with GPUs the executor takes `tasks` for those of each GPU, unless told so
            resources |= {"tasks": ask.tasks, "tasks_per_gpu": 0, "mpi": _quoted("srun")}
        return resources


def _quoted(text: str) -> str:
    """Text that Snakemake does not take for an expression."""
    return repr(text)


def _quoted_all(**texts: str | None) -> dict[str, str]:
    """Those that are given, quoted."""
    return {name: _quoted(text) for name, text in texts.items() if text is not None}


def site_file() -> Path | None:
    """The site's own values: beside the profile that the working directory or this source has."""
    for folder in (Path("slurm"), Path(__file__).resolve().parents[2] / _PROFILE):
        if (folder / SITE_FILE).is_file():
            return folder / SITE_FILE
    return None


def read_site(shipped: Mapping[str, Any], path: str | Path | None = None) -> Site:
    """The shipped values, with those of a site's file in their place.

    Parameters
    ----------
    shipped
        What the profile states.
    path
        The site's file, YAML with the same keys; it needs only what differs.

    Raises
    ------
    ConfigError
        If the file cannot be read, a key is unknown or of another kind, an option of sbatch is
        one that the executor sets, or rules of a group differ in where they go.
    """
    changed: Any = {}
    where = "the profile" if path is None else str(path)
    if path is not None:
        try:
            changed = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"{path}: not readable as YAML: {reason}") from error
        if not isinstance(changed, dict):
            raise ConfigError(f"{path}: not a mapping of keys to values; see site.example.yaml")
        _known_rules(path, shipped, changed)
    try:
        return Site.model_validate(_merged(shipped, changed))
    except ValidationError as error:
        said = ": ".join(part for part in _place_and_reason(error.errors()[0]) if part)
        raise ConfigError(
            f"{where}: {said}; all keys stand in workflow/profiles/slurm/config.yaml"
        ) from error


def _place_and_reason(item: Any) -> tuple[str, str]:
    """Where one of pydantic's errors is, and in words what is wrong there."""
    location, kind = item["loc"], item["type"]
    place = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        section = section_at(Site, location[:-1])
        known = sorted(section.model_fields) if section is not None else []
        return place, "unknown key" + nearest(str(location[-1]), known)
    if kind == "string_pattern_mismatch":
        return place, "letters, digits, `_` and `.` only, and no count (`sinfo -o %G` names it)"
    return place, item["msg"].removeprefix("Value error, ")


def site_of_profile(shipped: Mapping[str, Any]) -> Site:
    """`read_site` for the profile, where an error ends the process with its message alone."""
    try:
        return read_site(shipped, site_file())
    except ConfigError as error:
        raise SystemExit(f"dust3d: {error}") from None


def _known_rules(path: str | Path, shipped: Mapping[str, Any], changed: dict[str, Any]) -> None:
    """A rule that does not exist would be passed over without a word."""
    named = changed.get("rules")
    for name in named if isinstance(named, dict) else ():
        if name not in shipped["rules"]:
            raise ConfigError(
                f"{path}: rules.{name}: no rule is called so; there are "
                f"{', '.join(sorted(shipped['rules']))}"
            )


def _merged(shipped: Any, changed: Any) -> Any:
    if not (isinstance(shipped, Mapping) and isinstance(changed, Mapping)):
        return changed
    keys = dict.fromkeys([*shipped, *changed])
    return {
        key: _merged(shipped[key], changed[key])
        if key in shipped and key in changed
        else changed.get(key, shipped.get(key))
        for key in keys
    }


def preflight(wanted: Mapping[str, bool]) -> None:
    """Look whether jobs can be submitted, before the first one is.

    Parameters
    ----------
    wanted
        Partition -> whether some job there needs a GPU.

    Raises
    ------
    ClusterError
        If there is no Slurm here, its controller does not answer, a partition is unknown, or one
        that is to give GPUs has none.
    """
    for tool in ("sbatch", "sinfo", "squeue"):
        if shutil.which(tool) is None:
            raise ClusterError(
                f"`{tool}` is not found: `--profile slurm` needs the commands of Slurm, so run it "
                "on a login node of the cluster (perhaps after `module load slurm`), or leave "
                "the profile out to run on this machine"
            )
    known = _partitions()
    for name, with_gpus in wanted.items():
        if name not in known:
            raise ClusterError(
                f"the cluster has no partition `{name}` (it has {', '.join(sorted(known))}): name "
                "yours under `partitions` in slurm/site.yaml"
            )
        if with_gpus and not any("gpu" in gres for gres in known[name]):
            raise ClusterError(
                f"the partition `{name}` has no GPUs: name one that has under `partitions: gpu` "
                "in slurm/site.yaml, or ask for none there (`rules: {fit: {gpus: 0}}`)"
            )


def _partitions() -> dict[str, set[str]]:
    """Partition -> generic resources of its nodes, as the controller tells."""
    command = ["sinfo", "--noheader", "--format=%R|%G"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S)
        rows, reason = done.stdout, " ".join(done.stderr.split()) if done.returncode else ""
    except subprocess.TimeoutExpired:
        rows, reason = "", f"no answer within {_PATIENCE_S} s"
    if reason:
        raise ClusterError(
            f"the controller of Slurm cannot be reached (`sinfo` says: {reason}): nothing was "
            "submitted; try again later, or ask those who run the cluster"
        )
    found: dict[str, set[str]] = {}
    for line in rows.splitlines():
        name, _, gres = line.strip().partition("|")
        found.setdefault(name, set()).add(gres)
    return found
