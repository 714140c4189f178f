"""Layouts of folders: what is a class, what is a split, a patient, a part, a mask or a folder of the system."""

import pytest

from tests.xrai.data.sources.sources import found
from xrai.core.errors import SourceError
from xrai.core.labels import is_healthy
from xrai.data.sources import choose_finding
from xrai.data.sources.folder_names import FolderKind, folder_kind, is_date, split_of

CLASSES = ("NORMAL", "PNEUMONIA")


def tree(pattern, n=6):
    """Paths of six films a class; {c} is the class, {i} the number of the film, {j} one of all films."""
    return [pattern.format(c=c, i=i, j=10 * k + i) for k, c in enumerate(CLASSES) for i in range(n)]


def counts(*paths):
    return found(*paths).counts()


class TestSplits:
    @pytest.mark.parametrize(
        ("train", "test"),
        [
            ("training_set", "test_set"),
            ("trainset", "testset"),
            ("train-data", "test-data"),
            ("Train Images", "Test Images"),
            ("01_train", "02_test"),
            ("TRAINING", "TESTING"),
            ("entrainement", "test"),
            ("Entraînement", "Essai"),
            ("entrenamiento", "prueba"),
            ("data_train", "data_test"),
        ],
    )
    def test_by_many_names_above_the_classes(self, train, test):
        paths = tree(f"{train}/{{c}}/{{i}}.png") + tree(f"{test}/{{c}}/{{i}}.png", 3)
        assert counts(*paths) == {name: {"train": 6, "test": 3} for name in CLASSES}

    def test_below_the_classes(self):
        paths = tree("{c}/train/{i}.png", 4) + tree("{c}/test/{i}.png", 2)
        assert counts(*paths) == {name: {"train": 4, "test": 2} for name in CLASSES}

    def test_a_stray_folder_named_like_one_is_an_ordinary_one(self):
        source = found(*tree("{c}/{i}.png"), "NORMAL/test/phantom.png")
        assert source.counts() == {"NORMAL": {"all": 7}, "PNEUMONIA": {"all": 6}}
        assert any("holds few of the scans" in note for note in source.notes)

    @pytest.mark.parametrize("name", ["contest", "latest", "trained by hand", "testis", "protest 2020", "evaluated"])
    def test_words_that_hold_one_are_none(self, name):
        assert split_of(name) is None


class TestNoClasses:
    @pytest.mark.parametrize(
        "pattern",
        [
            "hospital_{h}/{{c}}/{{i}}.png",
            "site {h}/{{c}}/{{i}}.png",
            "201{h}/{{c}}/{{i}}.png",
            "part{h}/{{c}}/{{i}}.png",
            "images_00{h}/{{c}}/{{i}}.png",
            "Charité {h}/{{c}}/{{i}}.png",
            "{{c}}/images/{h}/{{i}}.png",
            "{{c}}/PA/{h}{{i}}.png",
            "AP/{{c}}/{h}{{i}}.png",
        ],
    )
    def test_sites_years_parts_and_views_around_the_classes(self, pattern):
        paths = [path for h in (1, 2) for path in tree(pattern.format(h=h))]
        assert counts(*paths) == {name: {"all": 12} for name in CLASSES}

    @pytest.mark.parametrize(
        "pattern",
        [
            "train/patient{j:05}/study1/view1_frontal.png",
            "images_{j:03}/images/00001.png",
            "p10/p1000{j:04}/s50{j:06}/film.png",
            "Doe_Case_{j:03}/view.png",
            "subject-{j}/film.png",
            "2014/{j:08}/film.png",
            "1.2.840.113619.2.{j}/film.dcm",
            "Hospital {j}/film.png",
        ],
    )
    def test_patients_and_parts_alone_are_refused(self, pattern):
        with pytest.raises(SourceError, match="not classes"):
            found(*tree(pattern), "labels.csv")

    def test_a_table_beside_them_is_told(self):
        with pytest.raises(SourceError, match="table beside them"):
            found(*tree("patient{j:05}/film.png"), "train.csv")

    def test_many_folders_of_a_few_films_each_are_patients(self):
        with pytest.raises(SourceError, match="probably those of patients"):
            found(
                *(
                    f"{name}/{i}.png"
                    for name in ["ABBOTT", "BAKER", "CLARK", "DAVIES", "EVANS", "FOSTER", "GREEN"]
                    for i in (1, 2)
                )
            )

    @pytest.mark.parametrize(
        "folder",
        [
            "@eaDir",
            "#recycle",
            "$RECYCLE.BIN",
            "~snapshot",
            "#snapshot",
            ".snapshot",
            "lost+found",
            "@Recycle",
            "System Volume Information",
            ".Trash-1000",
            ".@__thumb",
        ],
    )
    def test_folders_of_the_system_are_passed_over(self, folder):
        paths = [*tree("{c}/{i}.png"), *tree(f"{{c}}/{folder}/{{i}}.png/THUMB_M.jpg"), f"{folder}/x/1.png"]
        assert counts(*paths) == {name: {"all": 6} for name in CLASSES}

    @pytest.mark.parametrize("folder", ["masks", "mask", "lung masks", "Lung_Mask", "segmentation", "masques"])
    def test_masks_are_passed_over_with_a_note(self, folder):
        source = found(*tree("{c}/images/{i}.png"), *tree(f"{{c}}/{folder}/{{i}}.png"))
        assert source.counts() == {name: {"all": 6} for name in CLASSES}
        assert "12 masks were passed over." in source.notes

    def test_masks_beside_their_films_too(self):
        assert counts(*tree("{c}/{i}.png"), *tree("{c}/{i}_mask.png")) == {name: {"all": 6} for name in CLASSES}

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("Pneumonia", None),
            ("COVID-19", None),
            ("covid19", None),
            ("0", None),
            ("1", None),
            ("class 7", None),
            ("control", None),
            ("No_finding", None),
            ("COVID_positive", None),
            ("2019", FolderKind.YEAR),
            ("20200314", FolderKind.YEAR),
            ("patient0012", FolderKind.PATIENT),
            ("DICOM", FolderKind.PART),
            ("@eaDir", FolderKind.SYSTEM),
            ("validation", FolderKind.SPLIT),
            ("lateral", FolderKind.VIEW),
        ],
    )
    def test_kinds_of_names(self, name, kind):
        assert folder_kind(name) == kind


class TestPatients:
    def patients(self, *paths):
        return [entry.patient for entry in found(*paths).entries]

    def test_a_folder_for_each_patient(self):
        keys = self.patients(*(f"{c}/{c[0]}{p:04}/film{k}.png" for c in CLASSES for p in range(5) for k in range(3)))
        assert len(set(keys)) == 10 and None not in keys

    def test_folders_that_every_class_has_are_no_patients(self):
        paths = [f"{c}/{sex}/{i}.png" for c in CLASSES for sex in ("boys", "girls", "others") for i in range(4)]
        assert set(self.patients(*paths)) == {None}

    def test_the_name_that_a_viewer_gives_everybody_is_nobodys(self):
        paths = [f"{c}/case {p:02}{c[0]}/Thorax AP/IM-0001-0001.png" for c in CLASSES for p in range(8)]
        assert len(set(self.patients(*paths))) == 16
        flat = [f"{c}/{h}/IM-0001-0001.png" for c in CLASSES for h in ("images", "PA")]
        assert set(self.patients(*flat)) == {None}

    def test_a_date_and_a_counter_are_no_patient(self):
        assert set(self.patients(*tree("{c}/20200314_{j:03}.png"))) == {None}
        assert len(set(self.patients(*tree("{c}/000013{j:02}_000.png")))) == 12

    def test_dates(self):
        assert is_date("20200314") and not is_date("00001323") and not is_date("20209914")


class TestFinding:
    @pytest.mark.parametrize(
        ("healthy", "finding"),
        [
            ("Non-COVID", "COVID"),
            ("no_pneumonia", "Pneumonia"),
            ("TB negative", "TB positive"),
            ("Sain", "Épanchement"),
            ("gesund", "Entzündung"),
            ("ohne Befund", "Infiltrat"),
            ("sano", "neumonia"),
            ("Normal", "Abnormal"),
            ("Healthy", "Not healthy"),
            ("controls", "cases"),
            ("zz", "Atelectasis"),
        ],
    )
    def test_the_class_without_a_finding_comes_first(self, healthy, finding):
        source = choose_finding(found(*(f"{c}/{i}.png" for c in (healthy, finding) for i in range(5))))
        assert source.classes == (healthy, finding) and not source.notes

    def test_names_that_do_not_tell_are_asked_for(self):
        source = found(*(f"{c}/{i}.png" for c in ("grade one", "grade two") for i in range(5)))
        assert any("do not tell which class is the finding" in note for note in choose_finding(source).notes)
        chosen = choose_finding(source, "Grade One")
        assert chosen.classes == ("grade two", "grade one") and not chosen.notes

    @pytest.mark.parametrize("finding", ["grade nine", ""])
    def test_a_finding_that_is_none_of_two_classes(self, finding):
        three = found(*(f"{c}/{i}.png" for c in ("a", "b", "c") for i in range(5)))
        assert choose_finding(three) == three
        with pytest.raises(SourceError, match="cannot be the finding"):
            choose_finding(three, finding or "a")

    def test_an_article_is_no_negation(self):
        assert not is_healthy("un épanchement") and is_healthy("sans épanchement")
