"""Class folders, splits and patients from the names of files."""

import unicodedata
from collections import Counter
from pathlib import PurePosixPath

import pytest

from tests.xrai.data.sources.sources import FLAT, SPLIT, found, refusal
from xrai.data.sources import Entry, open_source, parse_patient_id


class TestClassFolders:
    def test_side_by_side(self):
        source = found(*FLAT)
        assert source.classes == ("NORMAL", "SICK")
        assert source.entries == tuple(Entry(name, name.split("/")[0], None) for name in FLAT)
        assert source.counts() == {"NORMAL": {"all": 2}, "SICK": {"all": 2}}
        assert source.notes == ()

    def test_below_splits(self):
        source = found(*SPLIT)
        assert source.classes == ("NORMAL", "SICK")
        assert source.counts() == {name: {"train": 1, "val": 1, "test": 1} for name in source.classes}
        assert source.notes == ()

    @pytest.mark.parametrize(
        "names", [("train", "val", "test"), ("Training", "VALIDATION", "Testing"), ("TRAIN", "valid", "Test")]
    )
    def test_splits_by_their_usual_names(self, names):
        source = found(*(f"{split}/{name}/1.png" for split in names for name in "AB"))
        told = {PurePosixPath(entry.path).parts[0]: entry.split for entry in source.entries}
        assert told == dict(zip(names, ("train", "val", "test"), strict=True))

    @pytest.mark.parametrize(
        ("wrap", "names"),
        [
            ("archive", FLAT),
            ("archive/data v2/x.y", FLAT),
            ("archive", SPLIT),
            ("archive/data v2/x.y", SPLIT),
            ("test", SPLIT),  # test.zip of a folder called test
            ("Validation/train", SPLIT),
        ],
    )
    def test_wrapped_in_folders(self, wrap, names):
        wrapped, bare = found(*(f"{wrap}/{name}" for name in names)), found(*names)
        assert wrapped.classes == bare.classes
        assert wrapped.counts() == bare.counts()
        assert [entry.path for entry in wrapped.entries] == [f"{wrap}/{entry.path}" for entry in bare.entries]

    @pytest.mark.parametrize("stray", ["archive/LICENSE", "archive/overview.png", "README", "cover.jpg"])
    def test_stray_files_beside_the_class_folders_make_no_class(self, stray):
        source = found(stray, *(f"archive/{name}" for name in FLAT))
        assert source.classes == ("NORMAL", "SICK")
        assert source.notes == ("1 other files were passed over: they do not lie in a class folder or are no scans.",)

    def test_folders_inside_class_folders_belong_to_them(self):
        source = found("NORMAL/2023/a.png", "NORMAL/2024/b.png", "SICK/images/c.png", "SICK/d.png")
        assert source.counts() == {"NORMAL": {"all": 2}, "SICK": {"all": 2}}
        assert found(*(f"train/{name}" for name in ("A/x/1.png", "B/2.png"))).classes == ("A", "B")

    def test_a_tree_nested_in_itself_counts_once(self):
        """Kaggle's chest-xray-pneumonia: chest_xray/chest_xray, and Mac leftovers of both."""
        source = found(
            *(f"chest_xray/{name}" for name in SPLIT),
            *(f"chest_xray/chest_xray/{name}" for name in SPLIT),
            *(f"chest_xray/__MACOSX/chest_xray/{name}" for name in SPLIT),
            "chest_xray/chest_xray/train/NORMAL/.DS_Store",
        )
        assert [entry.path for entry in source.entries] == sorted(f"chest_xray/{name}" for name in SPLIT)
        assert any("second copy of itself" in note for note in source.notes)

    def test_hidden_files_are_no_scans(self):
        hidden = (
            "NORMAL/.a.png",
            "NORMAL/._a.png",
            ".git/NORMAL/a.png",
            "__MACOSX/NORMAL/._a.png",
            "SICK/Thumbs.db",
            "SICK/.cache/x.png",
        )
        source = found(*FLAT, *hidden)
        assert [entry.path for entry in source.entries] == list(FLAT)
        assert source.notes[0].startswith("6 other files")

    def test_other_files_are_counted(self):
        source = found(*FLAT, "NORMAL/notes.txt", "SICK/list.csv", *(f"SICK/{i}.xml" for i in range(1000)))
        assert source.notes[0].startswith("1,002 other files were passed over")

    @pytest.mark.parametrize(
        "name",
        [
            "1.JPG",
            "1.jpeg",
            "1.JPE",
            "1.jfif",
            "1.png",
            "1.tif",
            "1.TIFF",
            "1.webp",
            "1.bmp",
            "1.dcm",
            "1.DICOM",
            "1.ima",
            "IM000001",
            "1.2.840.113619.2.55.3",
            "CR.1.2.840.4711",
        ],
    )
    def test_endings_of_scans(self, name):
        assert f"SICK/{name}" in {entry.path for entry in found(*FLAT, f"SICK/{name}").entries}

    @pytest.mark.parametrize("name", ["1.txt", "1.json", "1.zip", "1.png.part", "1.py", "1.gif", "1.pdf"])
    def test_endings_of_other_files(self, name):
        assert f"SICK/{name}" not in {entry.path for entry in found(*FLAT, f"SICK/{name}").entries}

    @pytest.mark.parametrize(
        "healthy", ["NORMAL", "normal", "Healthy", "No Finding", "no_finding", "control", " Clear "]
    )
    def test_the_healthy_class_comes_first(self, healthy):
        assert found("Abscess/1.png", f"{healthy}/1.png", "zoster/1.png").classes == (
            healthy.strip(),
            "Abscess",
            "zoster",
        )

    def test_many_classes(self):
        assert found(*(f"class {i:03}/{n}.png" for i in range(300) for n in range(5))).classes == tuple(
            f"class {i:03}" for i in range(300)
        )

    def test_unicode_and_strange_class_names(self):
        names = ("Lungenentzündung", "正常", "пневмония", "a'b\"c", "with, comma", "x" * 200)
        assert set(found(*(f"{name}/{n}.png" for name in names for n in range(5))).classes) == set(names)

    def test_one_class_in_two_spellings_is_one(self):
        mac, other = (unicodedata.normalize(form, "Entzündung") for form in ("NFD", "NFC"))
        source = found(f"train/{mac}/1.png", f"test/{other}/2.png", "train/Normal/3.png", "test/NORMAL /4.png")
        assert source.classes == ("NORMAL", other)
        assert source.counts() == {name: {"train": 1, "test": 1} for name in source.classes}
        assert {entry.path for entry in source.entries} >= {f"train/{mac}/1.png", "test/NORMAL /4.png"}

    def test_a_class_name_of_bytes_that_are_no_characters_can_be_written(self):
        source = found("R\udcf6ntgen/1.png", "Normal/1.png")
        assert "".join(source.classes).encode()
        assert {entry.path for entry in source.entries} == {"R\udcf6ntgen/1.png", "Normal/1.png"}

    def test_many_files(self):
        names = [f"wrap/train/{'AB'[i % 2]}/{i // 1000}/{i}.png" for i in range(50_000)]
        assert found(*names).counts() == {"A": {"train": 25_000}, "B": {"train": 25_000}}


class TestRefusals:
    @pytest.mark.parametrize("names", [(), ("readme.txt", "NORMAL/list.csv"), (".hidden/a.png",)])
    def test_no_scans(self, names):
        assert "There are no scans in some place: it should hold one folder for each class" in refusal(*names)

    @pytest.mark.parametrize("names", [("1.png", "2.png"), ("train/1.png", "test/2.png")])
    def test_scans_without_class_folders(self, names):
        assert "scans but no class folders in some place" in refusal(*names)

    @pytest.mark.parametrize(
        "names",
        [
            ("NORMAL/1.png",),
            ("wrap/NORMAL/1.png", "wrap/NORMAL/2.png"),
            ("scan.png", "NORMAL/1.png"),
            ("train/NORMAL/1.png", "test/NORMAL/2.png"),
        ],
    )
    def test_one_class(self, names):
        assert "There is only the class “NORMAL” in some place" in refusal(*names)


class TestPatientOf:
    @pytest.mark.parametrize(
        ("one", "two"),
        [
            (("train/P/person123_virus_45.jpeg", "train"), ("train/P/person123_virus_46.jpeg", "train")),
            (("train/P/person0123_virus_45.jpeg", "train"), ("val/P/person123_virus_1.jpeg", "val")),
            (("P/person1_bacteria_1.jpeg", None), ("train/P/person1_bacteria_2.jpeg", "train")),
            (("N/IM-0115-0001.jpeg", "train"), ("N/IM-0115-0002.jpeg", "train")),
            (("N/IM-0666-0001-0001.jpeg", None), ("N/IM-0666-0001-0002.jpeg", None)),
            (("N/NORMAL2-IM-0381-0001.jpeg", "test"), ("N/NORMAL2-IM-0381-0001-0002.jpeg", "test")),
            (("a/00001323_001.png", None), ("b/00001323_002.png", None)),
            (("patient0012_1.png", None), ("x/patient0012_2.png", None)),
            (("Patient 7 left.dcm", None), ("patient-7b.png", None)),
            (("A/patient00007/study1/view1.jpg", None), ("B/patient00007/study2/view1.jpg", None)),
        ],
    )
    def test_equal_for_one_patient(self, one, two):
        assert parse_patient_id(*one) == parse_patient_id(*two) is not None

    @pytest.mark.parametrize(
        ("one", "two"),
        [
            (("person1_virus_1.jpeg", "train"), ("person1_bacteria_1.jpeg", "train")),
            (("person1_virus_1.jpeg", "train"), ("person1_virus_1.jpeg", "test")),
            (("person1_virus_1.jpeg", "train"), ("person11_virus_1.jpeg", "train")),
            (("IM-0115-0001.jpeg", None), ("NORMAL2-IM-0115-0001.jpeg", None)),
            (("IM-0115-0001.jpeg", None), ("IM-0116-0001.jpeg", None)),
            (("00001323_001.png", None), ("00001324_001.png", None)),
            (("patient1_1.png", None), ("patient12_1.png", None)),
            (("patient1/patient2_1.png", None), ("patient1/patient3_1.png", None)),
        ],
    )
    def test_different_for_two(self, one, two):
        assert None not in (parse_patient_id(*one), parse_patient_id(*two))
        assert parse_patient_id(*one) != parse_patient_id(*two)

    @pytest.mark.parametrize(
        "path",
        [
            "0001.jpg",
            "COVID-00003b.jpg",
            "scan.png",
            "IM-0115.png",
            "123_001.png",
            "patients/1.png",
            "person1.png",
            "radiopaedia-2019-novel-coronavirus-infected-pneumonia.jpg",
            "1.2.840.113619.2",
            "",
        ],
    )
    def test_none_where_the_name_does_not_tell(self, path):
        assert parse_patient_id(path, "train") is None

    @pytest.mark.real
    def test_counts_of_the_real_set(self, real_data):
        with open_source(real_data / "datasets" / "chest_xray") as source:
            assert source.counts() == {
                "NORMAL": {"train": 1341, "test": 234},
                "PNEUMONIA": {"train": 3875, "test": 390},
            }
            patients = [parse_patient_id(entry.path, entry.split) for entry in source.entries]
        assert None not in patients
        sick = [
            name
            for name, entry in zip(patients, source.entries, strict=True)
            if (entry.class_name, entry.split) == ("PNEUMONIA", "train")
        ]
        assert max(Counter(sick).values()) == 30  # as counted in shared/README.md
        assert set(sick) >= {"train/person1003_virus", "train/person1003_bacteria"}

    @pytest.mark.real
    def test_the_set_of_three_classes(self, real_data):
        with open_source(real_data / "datasets" / "covid19") as source:
            assert source.classes == ("Normal", "Covid", "Viral Pneumonia")
            assert [sum(row.values()) for row in source.counts().values()] == [90, 137, 90]
