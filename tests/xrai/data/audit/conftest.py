"""Phantoms and datasets to audit."""

import numpy as np
import pytest
from PIL import Image

from tests.xrai.data.audit.audits import SIDE, coded, set_of
from xrai.data.audit import Audit, AuditFinding, save_audit
from xrai.data.dataset import BuildConfig, build_dataset, open_dataset
from xrai.data.sources import open_source
from xrai.scans.phantoms import draw_thorax


@pytest.fixture(scope="module")
def films():
    """48 drawn films of as many patients, half of them with opacities, uint8 (96, 96)."""
    return [draw_thorax(np.random.default_rng(seed), opacity=seed % 2 == 1, size=SIDE) for seed in range(48)]


@pytest.fixture
def build(tmp_path):
    """Builds a dataset of `{path in the source: pixels or bytes}` and gives its path."""

    def make(files, name="set"):
        for place, content in files.items():
            file = tmp_path / name / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else coded(content))
        out = tmp_path / f"{name}.hdf5"
        with open_source(tmp_path / name) as source:
            assert build_dataset(source, out, BuildConfig(size=SIDE))
        return out

    return make


# --- copies -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(build, films):
    """A set in which the test holds a file of training, a smaller JPEG of another, and training a darker third."""
    files = set_of(films)
    smaller = Image.fromarray(films[21]).resize((72, 72))
    darker = (255 * (films[22] / 255.0) ** 1.7).astype(np.uint8)
    files["test/A/equal.png"] = coded(films[20])
    files["test/B/smaller.jpg"] = coded(np.asarray(smaller), format="JPEG", quality=85)
    files["train/A/darker.png"] = darker
    return build(files)


@pytest.fixture
def alike(build):
    """56 films that are alike as thumbnails; in detail but for one copy, that is darker, each is another."""
    rng = np.random.default_rng(3)
    plan = np.kron(rng.integers(0, 256, (24, 24)), np.ones((4, 4)))
    drawn = [np.clip(plan + rng.normal(0, 40, plan.shape), 0, 255).astype(np.uint8) for _ in range(56)]
    drawn[10] = (255 * (drawn[40] / 255.0) ** 1.2).astype(np.uint8)
    return build(set_of(drawn))


@pytest.fixture
def kept(practice, tmp_path):
    """A dataset's copy with an audit of two findings beside it; gives its path and the audit."""
    path = tmp_path / "copy.hdf5"
    path.write_bytes(practice.read_bytes())
    with open_dataset(path) as dataset:
        serious = AuditFinding(
            kind="exact-duplicates",
            severity="serious",
            title="Twice",
            sentence="Two.",
            advice="Clean.",
            numbers={"groups": 1},
            groups=((0, 1),),
            suggestion=(1,),
        )
        fine = AuditFinding(kind="blank-films", severity="fine", title="None", sentence="No blank films.")
        found = Audit(
            dataset="copy",
            fingerprint=dataset.fingerprint,
            n=len(dataset),
            when="2026-11-21T10:00:00+00:00",
            seconds=1.5,
            versions={"xrai": "1"},
            findings=(serious, fine),
        )
    save_audit(found, path)
    return path, found
