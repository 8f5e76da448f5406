"""A fit shared by the tasks of a step that `srun` started, as a job with `tasks: 2` starts it."""

import json
import os

import pytest
from tests.inference.test_processes import arguments, assert_same_field
from tests.stages.test_fit import table

from dust3d.launch import launch
from dust3d.stages import fit

pytestmark = pytest.mark.slurm


@pytest.mark.parametrize("nodes", [1, 2])
def test_two_tasks_give_the_answer_of_one(nodes, cluster, tmp_path, repository, monkeypatch):
    stars = {
        "train": table(tmp_path / "train.h5", 601, 1, 3),
        "heldout": table(tmp_path / "heldout.h5", 61, 2, 3),
    }
    fit.run(**arguments(stars, tmp_path / "one"))
    monkeypatch.setenv("SLURM_CONF", str(cluster.folder / "slurm.conf"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(repository), str(repository / "src")]))
    if nodes == 2:
        # both are this machine, by names that it does not know
        monkeypatch.setenv("DUST3D_COORDINATOR", "127.0.0.1:61234")
    launch(
        "dust3d.stages.fit_process",
        arguments(stars, tmp_path / "two"),
        tasks=2,
        launcher=f"srun --nodes={nodes} --mem=2000",
        cpus=1,
    )
    assert_same_field(tmp_path / "one", tmp_path / "two")
    summary = json.loads((tmp_path / "two" / "fit.json").read_text())
    assert summary["cost"]["processes"] == 2
