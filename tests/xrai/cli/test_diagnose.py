import errno
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.xrai.cli.support import BAD_SCANS, assert_one_sentence
from xrai.core.errors import ScanError
from xrai.models.artifacts import load_artifacts, save_artifacts
from xrai.models.checkpoint import open_checkpoint
from xrai.reading.warnings import OUTSIDE_BODY_WARNING
from xrai.scans.phantoms import draw_thorax


def test_diagnose(call, model, scans, tmp_path):
    printed = call("diagnose", *scans[:3], "--model", "m", "--heatmap", tmp_path / "maps", "--json")
    assert printed.status == 0, printed.err
    result = json.loads(printed.out)
    assert [item["file"] for item in result] == [str(item) for item in scans[:3]]
    for item in result:
        assert set(item["probabilities"]) == {"CLEAR", "OPACITY"}
        assert sum(item["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert item["diagnosis"] in item["probabilities"]
        assert set(item["warnings"]) <= {OUTSIDE_BODY_WARNING}  # so small a network may look anywhere
        assert item["model"] == "m"
        with Image.open(item["heatmap"]) as image:
            assert image.size == (128, 64)
    printed = call("diagnose", scans[0], "--model", "m")
    assert result[0]["diagnosis"] in printed.out
    assert "%" in printed.out


def test_one_bad_file_does_not_hold_up_the_others(call, model, scans, tmp_path):
    (tmp_path / "bad.jpg").write_text("no picture")
    printed = call(
        "diagnose", scans[0], tmp_path / "bad.jpg", tmp_path / "gone.png", scans[1], "--model", "m", "--json"
    )
    assert printed.status == 1
    good, bad, gone, last = json.loads(printed.out)
    assert "diagnosis" in good
    assert "diagnosis" in last
    assert set(bad) == set(gone) == {"file", "error"}
    assert printed.err.count("error: ") == 2


def test_heatmaps_of_files_of_one_name_and_of_a_second_call(call, model, scans, tmp_path):
    files = []
    for number, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        files.append(shutil.copy(scans[number], tmp_path / folder / "scan.png"))
    maps = tmp_path / "maps"
    first = json.loads(call("diagnose", *files, "--model", "m", "--heatmap", maps, "--json").out)
    assert len({item["heatmap"] for item in first}) == 2
    again = json.loads(call("diagnose", *files, "--model", "m", "--heatmap", maps, "--json").out)
    assert first == again
    assert len(list(maps.iterdir())) == 2


def test_a_heatmap_that_cannot_be_written_does_not_cost_the_reading(call, model, scans, tmp_path):
    (tmp_path / "file").touch()
    printed = call("diagnose", scans[0], "--model", "m", "--heatmap", tmp_path / "file", "--json")
    assert printed.status == 1
    (result,) = json.loads(printed.out)
    assert result["diagnosis"] in ("CLEAR", "OPACITY")
    assert any("heatmap cannot be written" in warning for warning in result["warnings"])
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("name", BAD_SCANS)
def test_bad_scan(call, model, tmp_path, name):
    (tmp_path / name).write_bytes(BAD_SCANS[name](tmp_path))
    printed = call("diagnose", tmp_path / name, "--model", "m", "--json")
    (result,) = json.loads(printed.out)
    assert set(result) == {"file", "error"}
    assert_one_sentence(printed._replace(out=""), name)


def test_diagnose_refuses_what_is_no_film_and_says_what_would_mend_it(call, model, gate, tmp_path):
    checkpoint = open_checkpoint("m")
    kit = load_artifacts(checkpoint, checkpoint.read_card())
    save_artifacts(checkpoint, replace(kit, input_check=gate), checkpoint.weights_sha256())
    pixels = draw_thorax(np.random.default_rng(77), opacity=True, size=128)
    files = {"film": pixels, "turned": np.rot90(pixels), "noise": np.random.default_rng(0).integers(0, 256, (128, 128))}
    paths = []
    for name, content in files.items():
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(content.astype(np.uint8)).save(paths[-1])
    printed = call("diagnose", *paths, "--model", "m", "--json")
    film, turned, noise = json.loads(printed.out)
    assert printed.status == 1
    assert "diagnosis" in film and isinstance(film["sure"], bool)
    assert "not upright" in turned["error"] and turned["mend"] == "turned 90° right"
    assert "does not look like a chest X-ray" in noise["error"] and "mend" not in noise
    printed = call("diagnose", paths[2], "--model", "m", "--any-image", "--json")
    (read,) = json.loads(printed.out)
    assert printed.status == 0 and "does not look like a chest X-ray" in read["warnings"][0]
    printed = call("diagnose", *paths[:2], "--model", "m", "--fix-orientation", "--json")
    film, turned = json.loads(printed.out)
    assert printed.status == 0 and turned["warnings"][0] == "The picture was read turned 90° right."
    assert turned["probabilities"] == film["probabilities"]


def test_errors_that_nobody_foresaw_are_said_without_a_traceback(call, model, scans, monkeypatch):
    for error, word in ((OSError(errno.EIO, "Input/output error", "x.png"), "Input/output"), (MemoryError(), "memory")):

        def fail(*arguments, error=error, **named):
            raise error

        monkeypatch.setattr("xrai.reading.reader.Reader.read", fail)
        assert_one_sentence(call("diagnose", scans[0], "--model", "m", "--json"), word)


def test_ctrl_c_without_a_job(call, model, scans, monkeypatch):
    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("xrai.reading.reader.Reader.read", interrupt)
    printed = call("diagnose", scans[0], "--model", "m", "--json")
    assert (printed.status, printed.out, printed.err) == (1, "", "stopped\n")


def test_what_libraries_print_does_not_get_into_the_json(call, model, scans, monkeypatch):
    def chatty(*arguments, **named):
        print("You may want to update me!")
        raise ScanError("A sentence.")

    monkeypatch.setattr("xrai.scans.read_scan", chatty)
    printed = call("diagnose", scans[0], "--model", "m", "--json")
    assert json.loads(printed.out) == [{"file": str(scans[0]), "error": "A sentence."}]
    assert "update me" in printed.err


def test_ages_and_wildcards(call, model, scans):
    open_checkpoint("m").write_card(open_checkpoint("m").read_card().replace(intended_use={"min_age": 1, "max_age": 5}))
    pattern = str(scans[0].parent / "*.png")

    def read(*options):
        return json.loads(call("diagnose", pattern, "--model", "m", "--any-image", "--json", *options).out)

    unknown = read()
    assert len(unknown) == len(list(scans[0].parent.glob("*.png")))
    assert all("age is not known" in item["warnings"][0] for item in unknown)
    assert not any("age" in warning for item in read("--age", "30M") for warning in item["warnings"])
    assert all("outside the ages" in item["error"] for item in read("--age", "45"))
    research = read("--age", "45Y", "--any-age")
    assert all("outside the ages" in item["warnings"][0] and not item["sure"] for item in research)
    assert [item["probabilities"] for item in research] == [item["probabilities"] for item in unknown]
    assert call("diagnose", pattern, "--age", "old").status == 2
