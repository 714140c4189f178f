"""The model card: written, read, validated."""

import json

import pytest
from filelock import Timeout

from tests.xrai.models.checkpoint.checkpoints import (
    EVALUATED,
    FOREIGN,
    MEASURED,
    NONSENSE,
    a_card,
    assert_one_sentence,
    edit_card,
)
from xrai.core.errors import CheckpointError
from xrai.core.paths import PROJECT_DIR
from xrai.models.card import CARD_VERSION
from xrai.models.checkpoint import CARD, CARD_LOCK, WEIGHTS, Checkpoint, list_models, open_checkpoint


def test_card_comes_back_as_it_was_written(model):
    assert model.read_card() == a_card()
    assert model.read_card().threshold_value == 0.5
    assert a_card(threshold=None).threshold_value is None


def test_card_is_json_with_its_format_and_version(model):
    values = json.loads((model.folder / CARD).read_text(encoding="utf-8"))
    assert (values["format"], values["version"]) == ("xrai-model", CARD_VERSION)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_cards_of_earlier_versions_are_not_read(model, version):
    edit_card(model, version=version)
    with pytest.raises(CheckpointError) as caught:
        model.read_card()
    assert_one_sentence(caught, "“m”", "earlier version")


@pytest.mark.parametrize("name", ["pneumonia", "covid19"])
def test_the_shipped_models_are_read(name):
    shipped = Checkpoint(PROJECT_DIR / "checkpoints" / name)
    assert shipped.load_network(shipped.read_card()).has_global_pooling


def test_the_card_of_a_renamed_model_has_its_new_name(model):
    model.folder.rename(model.folder.with_name("Röntgen 2"))
    renamed = open_checkpoint("Röntgen 2")
    assert renamed.read_card() == a_card(name="Röntgen 2")
    assert json.loads((renamed.folder / CARD).read_text(encoding="utf-8"))["name"] == "m"
    assert [item.read_card().name for item in list_models()] == ["Röntgen 2"]


@pytest.mark.parametrize(
    ("classes", "names", "order"),
    [
        (("NORMAL", "PNEUMONIA"), ("NORMAL", "PNEUMONIA"), [0, 1]),
        (("NORMAL", "PNEUMONIA"), ("PNEUMONIA", "NORMAL"), [1, 0]),
        (("Normal", "Viral Pneumonia"), ("VIRAL_PNEUMONIA", "normal"), [1, 0]),
        (("COVID-19", "NORMAL", "Lung_Opacity"), ("lung opacity", "Covid19", "Normal"), [2, 0, 1]),
        (("Gesund", "Größe"), ("GRÖSSE", "gesund"), [1, 0]),
        (("健康", "肺炎"), ("肺炎", "健康"), [1, 0]),
        (("A b", "A_b"), ("A_b", "A b"), [1, 0]),  # the spellings differ in nothing else: only the very names will do
        (("A b", "A_b", "C"), ("C", "A b", "A_b"), [2, 0, 1]),
        (("+", "-"), ("-", "+"), [1, 0]),
        (("A b", "A_b"), ("A b", "a_B"), None),
        (("A b", "A_b"), ("A-b", "C"), None),
        (("AB", "C"), ("A b", "A_b"), None),
        (("AB", "C"), ("A b", "A_b", "C"), None),
        (("AB", "C"), ("AB",), None),
        (("AB", "C"), ("AB", "C", "D"), None),
        (("AB", "C"), ("AB", "D"), None),
        (("AB", "C"), ("AB", "AB", "C"), None),
        (("AB", "C"), (), None),
    ],
    ids=str,
)
def test_order_of_classes_by_their_names(classes, names, order):
    assert a_card(classes=classes).class_permutation(names) == order


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<5 mm", ">5 mm"),
        ("COVID (+)", "COVID (-)"),
        ("1.0", "10"),
        ("Grade 1-2", "Grade 12"),
        ("1,5 cm", "15 cm"),
        ("Grade 1 2", "Grade 12"),
        ("CT -5", "CT 5"),
        ("A/B", "AB"),
        ("T1.0", "T10"),
        ("HER2+", "HER2"),
        ("?", ""),
    ],
)
def test_signs_that_carry_meaning_are_not_dropped(one, other):
    """`<5 mm` and `>5 mm` came out as spellings of one name, so that a model was measured against the wrong classes."""
    assert a_card(classes=("normal", one)).class_permutation(("normal", other)) is None
    assert a_card(classes=("normal", one)).class_permutation((one, "NORMAL")) == [1, 0]


@pytest.mark.parametrize(
    "names",
    [
        ("COVID-19", "Covid19", "covid 19", "COVID_19", "covid\u201019", "covid.19"),
        ("Viral Pneumonia", "VIRAL_PNEUMONIA", "viral-pneumonia", " viral \u00a0 _pneumonia ", "ViralPneumonia"),
        ("<5 mm", "< 5 MM", "<5_mm", "<5mm"),
        ("Grade 1-2", "grade_1-2", "GRADE1-2", "grade-1-2"),
        ("Stage 1 2", "stage_1_2", "Stage 1 _2"),
        ("COVID (+)", "covid(+)", "Covid_(+)"),
    ],
    ids=str,
)
def test_spellings_of_one_name(names):
    for name in names:
        assert a_card(classes=("normal", names[0])).class_permutation((name, "Normal")) == [1, 0], name


def test_classes_that_differ_in_a_sign_alone_are_not_the_same():
    """`HER2+` is not `HER2-`: what is told apart by a sign is not a spelling of one name."""
    assert a_card(classes=("normal", "COVID+")).class_permutation(("normal", "COVID-")) is None


def test_card_is_saved_whole_or_not_at_all(model):
    before = (model.folder / CARD).read_bytes()
    with pytest.raises(ValueError):
        model.write_card(a_card().replace(notes=(object(),)))
    assert (model.folder / CARD).read_bytes() == before
    assert sorted(item.name for item in model.folder.iterdir()) == [CARD, WEIGHTS]


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_card(model, content):
    (model.folder / CARD).write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        model.read_card()
    assert_one_sentence(error, CARD, "copy the whole folder again")


def test_card_cut_short(model):
    whole = (model.folder / CARD).read_bytes()
    (model.folder / CARD).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError) as error:
        model.read_card()
    assert_one_sentence(error, CARD)


@pytest.mark.parametrize("changes", NONSENSE.values(), ids=NONSENSE.keys())
def test_card_that_makes_no_sense(model, changes):
    edit_card(model, **changes)
    with pytest.raises(CheckpointError) as error:
        model.read_card()
    assert_one_sentence(error, CARD)


def test_card_with_undefined_measures_is_borne(model):
    lacking = MEASURED | {"auc": None, "auc_interval": None}
    edit_card(
        model,
        validation=lacking,
        evaluations=[EVALUATED, EVALUATED | {"auc": None, "auc_interval": None}],
        threshold=None,
    )
    evaluations = model.read_card().evaluations
    assert [item.auc for item in evaluations] == [0.9, None]
    assert model.read_card().validation.auc_interval is None


@pytest.mark.parametrize(
    ("interval", "doubtful"), [([0.51, 0.9], False), ([0.5, 0.9], True), ([0.2, 0.9], True), (None, True)]
)
def test_a_card_says_where_chance_could_explain_its_validation_auc(interval, doubtful):
    card = a_card(validation=MEASURED | {"auc_interval": interval})
    assert bool(card.weakness_warning) is doubtful
    assert not doubtful or "no better than guessing" in str(card.weakness_warning)


def test_the_card_is_locked_for_one_at_a_time(model):
    with model.card_lock(0), pytest.raises(Timeout), model.card_lock(0):
        pass
    with model.card_lock(0):
        assert (model.folder / CARD_LOCK).is_file()


def test_card_of_a_newer_version(model):
    edit_card(model, version=CARD_VERSION + 1, config={"a setting": "of later on"})
    with pytest.raises(CheckpointError) as error:
        model.read_card()
    assert_one_sentence(error, "newer version", "update")
