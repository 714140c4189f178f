"""Importing a model from a zip."""

import errno
import io
import itertools
import json
import os
import stat
import time
import zipfile
from pathlib import Path

import pytest
import torch

from tests.xrai.models.model_folders import (
    END,
    EPOCH,
    LATER,
    MEASURED,
    START,
    STEP,
    TINY,
    everything,
    make_model,
    names,
    no_space,
    refused,
    summary_of,
    zipped,
)
from xrai import models
from xrai.core.errors import CheckpointError
from xrai.core.json_files import HISTORY_FILE, read_records
from xrai.core.paths import checkpoints_dir
from xrai.models.checkpoint import CARD, CONFIG, WEIGHTS, list_checkpoints


class TestImport:
    def test_comes_back_as_it_was(self, model, exported):
        models.set_note(model, "mine")
        models.export_model(model, exported)
        before = {item.name: item.read_bytes() for item in model.folder.iterdir()}
        models.delete(model)
        back = models.import_model(exported)
        assert back == model
        assert {item.name: item.read_bytes() for item in back.folder.iterdir()} == before
        assert names() == ["m"]

    def test_takes_a_free_name_or_the_given_one(self, model, exported):
        assert models.import_model(exported).name == "m-2"
        assert models.import_model(exported).name == "m-3"
        given = models.import_model(exported, "theirs")
        assert (given.name, given.read_card().name) == ("theirs", "theirs")
        assert summary_of("theirs").is_model

    def test_a_free_name_differs_in_more_than_case(self, model, exported):
        models.rename(model, "M")
        assert models.import_model(exported).name == "m-2"

    def test_a_long_name_leaves_room_for_its_number(self, home, tmp_path):
        for name in ("x" * 80, "é" * 80):
            models.export_model(make_model(name), tmp_path / "long.zip")
            assert models.import_model(tmp_path / "long.zip").name.endswith("-2")

    @pytest.mark.parametrize("name", ["m", "M"])
    def test_a_given_name_that_is_taken(self, exported, name):
        before = everything()
        with refused("already taken"):
            models.import_model(exported, name)
        assert everything() == before

    @pytest.mark.parametrize("name", ["", "../x", "CON", "imagenet", models.DEFAULT])
    def test_a_given_name_that_is_bad(self, exported, name):
        with refused("cannot be a model's name"):
            models.import_model(exported, name)

    def test_files_at_the_top_are_called_after_the_zip(self, inside, tmp_path):
        flat = zipped({name.removeprefix("m/"): content for name, content in inside.items()})
        assert models.import_model(flat).name == "imported model"
        (tmp_path / "given.zip").write_bytes(flat.getvalue())
        assert models.import_model(tmp_path / "given.zip").name == "given"
        flat.name = "upload.zip"
        assert models.import_model(flat).name == "upload"

    def test_a_folder_that_no_model_can_be_called(self, inside):
        files = {name.replace("m/", "CON/"): content for name, content in inside.items()}
        assert models.import_model(zipped(files)).name == "imported model"

    def test_unknown_files_are_left_out(self, inside):
        more = {
            "__MACOSX/m/card.json": b"x",
            "__MACOSX/card.json": b"x",
            "m/.DS_Store": b"x",
            "m/job.json": b"{}",
            "m/state/values.json": b"{}",
            "m/evaluations/card.json": b"x",
            "README": b"x",
            "m/log.txt": b"x",
            "n/": b"",
        }
        imported = models.import_model(zipped(inside | more), "theirs")
        assert sorted(item.name for item in imported.folder.iterdir()) == [CARD, CONFIG, HISTORY_FILE, WEIGHTS]
        assert names() == ["m", "theirs"]

    def test_can_be_read_by_whoever_can_read_the_others(self, model, exported):
        rights = [item.folder.stat().st_mode for item in (model, models.import_model(exported))]
        assert rights[0] == rights[1]

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", bytes(range(256)) * 100])
    def test_no_zip(self, model, content):
        before = everything()
        with refused("not a zip"):
            models.import_model(io.BytesIO(content))
        assert everything() == before

    def test_no_file(self, home, tmp_path):
        with refused("“gone.zip” cannot be opened"):
            models.import_model(tmp_path / "gone.zip")
        with refused("cannot be opened"):
            models.import_model(tmp_path)

    def test_cut_short_or_changed_anywhere(self, exported):
        """No byte of it can be lost without being noticed, or else it did not matter."""
        whole, before = exported.read_bytes(), everything()
        for at in range(0, len(whole), 509):
            with refused(""):
                models.import_model(io.BytesIO(whole[:at]))
        with zipfile.ZipFile(exported) as archive:
            begin = archive.getinfo(f"m/{WEIGHTS}").header_offset + 200
        for at in (begin, begin + 1000):
            with refused("is damaged"):
                models.import_model(io.BytesIO(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]))
        assert everything() == before

    def test_damaged_headers_never_end_without_a_sentence(self, exported):
        whole, before = exported.read_bytes(), names()
        end = whole.rindex(b"PK\x05\x06")
        middle = whole.index(b"PK\x01\x02")
        for at in range(middle, end + 22, 3):
            try:
                models.delete(models.import_model(io.BytesIO(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])))
            except CheckpointError as error:
                assert "\n" not in str(error)
            assert names() == before

    @pytest.mark.parametrize(
        "path",
        [
            "/etc/card.json",
            "../card.json",
            "m/../../card.json",
            "C:/card.json",
            "c:card.json",
            "m/..",
            "..\\card.json",
            "m\\..\\..\\card.json",
            "\\card.json",
            "C:\\card.json",
            "\\\\host\\x\\card.json",
        ],
    )
    def test_a_path_outside_its_folder(self, inside, path):
        before = everything()
        with refused("holds a path outside its folder"):
            models.import_model(zipped(inside | {path: b"x"}))
        assert everything() == before

    def test_a_path_that_hides_its_end(self, inside):
        whole = zipped(inside | {"m/extra_card": b"x"}).getvalue().replace(b"m/extra_card", b"m/card.json\0")
        with refused("holds a path outside its folder"):
            models.import_model(io.BytesIO(whole))

    @pytest.mark.parametrize("name", [CARD, "else"])
    def test_a_link(self, inside, name):
        link = zipfile.ZipInfo(f"m/{name}")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        files = {known: content for known, content in inside.items() if known != link.filename}
        with refused("holds a link"):
            models.import_model(zipped(files | {link: b"/etc/passwd"}))

    def test_locked_with_a_password(self, inside):
        whole = bytearray(zipped(inside).getvalue())
        whole[whole.index(b"PK\x01\x02") + 8] |= 1
        with refused("locked with a password"):
            models.import_model(io.BytesIO(bytes(whole)))

    @pytest.mark.parametrize("lacking", [CARD, WEIGHTS])
    def test_no_model(self, inside, lacking):
        inside.pop(f"m/{lacking}")
        with refused("is no exported model of XRAI"):
            models.import_model(zipped(inside))

    def test_parts_of_a_model_in_several_folders(self, inside):
        inside["n/card.json"] = inside.pop("m/card.json")
        with refused("is no exported model of XRAI"):
            models.import_model(zipped(inside))

    def test_a_model_too_deep(self, inside):
        with refused("is no exported model of XRAI"):
            models.import_model(zipped({f"x/{name}": content for name, content in inside.items()}))

    def test_several_models(self, inside):
        with refused("more than one model"):
            models.import_model(zipped(inside | {name.replace("m/", "n/"): file for name, file in inside.items()}))

    def test_the_same_file_twice(self, inside):
        out = zipped(inside)
        with zipfile.ZipFile(out, "a") as archive:
            archive.writestr("./m/card.json", b"{}")
        with refused("same file twice"):
            models.import_model(out)

    @pytest.mark.parametrize("name", [WEIGHTS, HISTORY_FILE])
    def test_too_large_by_its_header(self, inside, monkeypatch, name):
        monkeypatch.setattr("xrai.models.importing.MAX_WEIGHTS_BYTES", 10)
        monkeypatch.setattr("xrai.models.importing.MAX_TEXT_BYTES", 10**9 if name == WEIGHTS else 10)
        before = everything()
        with refused("would unpack"):
            models.import_model(zipped(inside))
        assert everything() == before

    def test_too_large_while_it_is_read(self, inside, monkeypatch):
        """What a zip says of its sizes need not be true."""
        monkeypatch.setattr("xrai.models.importing._read_chunks", lambda *args: itertools.repeat(b"x" * 60))
        monkeypatch.setattr("xrai.models.importing.MAX_TEXT_BYTES", 10**5)
        before = everything()
        with refused("would unpack"):
            models.import_model(zipped(inside))
        assert everything() == before

    def test_a_bomb_that_lies_about_its_size(self, inside):
        bomb = zipped(inside | {"m/note.txt": b"x" * 10**6}, compression=zipfile.ZIP_DEFLATED).getvalue()
        lying = bomb.replace((10**6).to_bytes(4, "little"), (10).to_bytes(4, "little"))
        assert lying != bomb
        with refused("is damaged"):
            models.import_model(io.BytesIO(lying))

    @pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_packed_so_that_unpacking_has_no_measure(self, inside, packing):
        with refused("ordinary compression"):
            models.import_model(zipped(inside, compression=packing))

    @pytest.mark.parametrize(
        "card",
        [
            b"",
            b"[]",
            b"{}",
            b"[" * 10**5,
            b'{"format": "xrai-model", "version": 2}',
            b'{"format": "xrai-model", "version": Infinity}',
        ],
    )
    def test_a_damaged_card(self, inside, card):
        before = everything()
        with refused("card"):
            models.import_model(zipped(inside | {"m/card.json": card}))
        assert everything() == before

    def test_a_card_of_more_classes_than_fit_into_the_memory(self, inside):
        card = json.loads(inside["m/card.json"])
        card["classes"] = list(map(str, range(5000)))
        card["heatmap_scale"] = {}
        with refused("5,000 classes"):
            models.import_model(zipped(inside | {"m/card.json": json.dumps(card)}))

    @pytest.mark.parametrize("weights", [b"", b"hello", b"\x80\x04\x95", b"\xff" * 1000])
    def test_damaged_weights(self, inside, weights):
        before = everything()
        with refused("model.safetensors"):
            models.import_model(zipped(inside | {"m/model.safetensors": weights}))
        assert everything() == before

    def test_weights_of_another_network(self, inside):
        card = json.loads(inside["m/card.json"])
        card["network"]["filters"] = 4
        with refused("model.safetensors"):
            models.import_model(zipped(inside | {"m/card.json": json.dumps(card)}))

    def test_lesser_files_may_lack(self, inside):
        files = {name: inside[name] for name in ("m/card.json", "m/model.safetensors")}
        found = models.import_model(zipped(files), "theirs")
        assert sorted(item.name for item in found.folder.iterdir()) == [CARD, WEIGHTS]
        summary = summary_of("theirs")
        assert (summary.problem, summary.dataset, summary.config) == ("", "d", TINY.to_dict())

    @pytest.mark.parametrize("junk", [b"", b"\xff\xfe\0", b"[1]\n", b"[" * 10**5, b'{"kind": 3}', b'{"time": 1e999}'])
    def test_damaged_lesser_files_are_left_out(self, inside, junk):
        damaged = {f"m/{name}": junk for name in (CONFIG, HISTORY_FILE)} | {"m/note.txt": b"\xff\0" * 9000}
        found = models.import_model(zipped(inside | damaged), "theirs")
        assert sorted(item.name for item in found.folder.iterdir()) == [CARD, WEIGHTS, models.NOTE]
        assert len(models.read_note(found)) <= models.MAX_NOTE
        assert summary_of("theirs").problem == ""

    def test_a_history_keeps_the_records_that_can_be_drawn(self, inside):
        unsound = [
            STEP | {"loss": "high"},
            STEP | {"progress": float("nan")},
            STEP | {"accuracy": True},
            EPOCH | {"val": MEASURED | {"loss": 10**400}},
            EPOCH | {"best": 1},
            EPOCH | {"train": [1]},
            [1],
            3,
            {"n": 1},
        ]
        lines = [json.dumps(record) for record in [START, *unsound, STEP, EPOCH, LATER, {"kind": "new"}, END]]
        deep = '{"kind": "step", "x": ' + "[" * 900 + "]" * 900 + "}"
        content = "\n".join([*lines, deep, "{half"]).encode()
        found = models.import_model(zipped(inside | {"m/history.jsonl": content}))
        assert read_records(found.folder / HISTORY_FILE) == [START, STEP, EPOCH, LATER, END]

    @pytest.mark.parametrize("records", [[STEP, EPOCH], [START | {"val": "9"}, STEP], [START, LATER], []])
    def test_a_history_without_a_beginning_or_a_best_epoch_is_none(self, inside, records):
        content = "\n".join(map(json.dumps, records))
        found = models.import_model(zipped(inside | {"m/history.jsonl": content}))
        assert not (found.folder / HISTORY_FILE).exists()

    def test_a_full_disk(self, inside, monkeypatch):
        before = everything()
        real = Path.open

        def opened(self, mode="r", *args, **options):
            return no_space() if mode == "wb" and self.name == WEIGHTS else real(self, mode, *args, **options)

        monkeypatch.setattr(Path, "open", opened)
        with refused("cannot be imported", "No space left", "free some disk space"):
            models.import_model(zipped(inside))
        assert everything() == before

    def test_a_full_disk_at_the_very_end(self, inside, monkeypatch):
        before = everything()
        monkeypatch.setattr("xrai.models.importing.replace_file", no_space)
        with refused("cannot be imported", "No space left"):
            models.import_model(zipped(inside))
        assert everything() == before

    def test_is_not_listed_before_it_is_checked(self, inside, monkeypatch):
        listed = []
        monkeypatch.setattr(
            "xrai.models.importing._drop_invalid_files", lambda draft: listed.extend(list_checkpoints())
        )
        models.import_model(zipped(inside))
        assert [item.name for item in listed] == ["m"]

    def test_what_a_killed_import_left_goes_after_a_day(self, exported):
        for name, age in ((".import-old", 2 * 24 * 3600), (".import-new", 60)):
            (checkpoints_dir() / name / "m").mkdir(parents=True)
            os.utime(checkpoints_dir() / name, (time.time() - age,) * 2)
        models.import_model(exported)
        assert names() == [".import-new", "m", "m-2"]


def test_a_zip_repacked_by_windows_powershell_is_taken(inside):
    """Its Compress-Archive, up to version 5.1, writes `m\\card.json`."""
    files = {name.replace("/", "\\"): content for name, content in inside.items()} | {"m\\": b""}
    imported = models.import_model(zipped(files), "theirs")
    assert {item.name: item.read_bytes() for item in imported.folder.iterdir()} == {
        name.removeprefix("m/"): content for name, content in inside.items()
    }


def test_both_kinds_of_strokes_for_one_path_are_the_same_file_twice(inside):
    with refused("same file twice"):
        models.import_model(zipped(inside | {"m\\card.json": b"{}"}))


@pytest.mark.parametrize("code", [errno.ENOTEMPTY, errno.EEXIST])
def test_a_name_that_was_taken_during_the_import_is_said_to_be(inside, monkeypatch, code):
    """It was said to be for want of disk space."""

    def taken(fresh, file):
        raise OSError(code, os.strerror(code))

    before = everything()
    monkeypatch.setattr("xrai.models.importing.replace_file", taken)
    with refused("“theirs” was taken meanwhile", "import the model again"):
        models.import_model(zipped(inside), "theirs")
    assert everything() == before


def test_finite_weights_whose_answers_are_no_numbers_are_not_taken_in(model):
    """With a negative variance every reading ended in an error."""
    network = model.load_network(model.read_card())
    next(item for item in network.modules() if isinstance(item, torch.nn.BatchNorm2d)).running_var.fill_(-1.0)
    model.save_network(network)
    out, before = io.BytesIO(), everything()
    models.export_model(model, out)
    with refused("“m” gives no number as its answer"):
        models.import_model(out)
    assert everything() == before
