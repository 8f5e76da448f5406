"""The first job: what it writes, and what it refuses."""

import json

import pytest

from dust3d.errors import ClusterError
from dust3d.provenance import versions
from dust3d.stages import environment


def test_what_the_node_has(tmp_path):
    path = tmp_path / "environment.json"
    environment.check(
        found=path, checked=tmp_path / "checked", expected=versions(), source="digest"
    )
    assert (tmp_path / "checked").exists()
    found = json.loads(path.read_text())
    assert found["versions"] == versions()
    assert found["cores"] >= 1
    assert found["memory_gb"] > 0
    assert found["devices"][0].partition(":")[0] in {"cpu", "gpu"}
    assert found["source_digest"] == "digest"


def test_another_version_is_refused(tmp_path):
    path = tmp_path / "environment.json"
    with pytest.raises(ClusterError, match=r"jax \S+ here, 0.0.1 where the run was started"):
        environment.check(
            found=path,
            checked=tmp_path / "checked",
            expected=versions() | {"jax": "0.0.1"},
            source="digest",
        )
    assert list(tmp_path.iterdir()) == []
