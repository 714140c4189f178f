"""Messages and their translation; a catalogue that lacks nothing; no text outside it."""

import ast
import copy
import json
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import streamlit as st
from pydantic import BaseModel, ValidationError
from streamlit.testing.v1 import AppTest

import xrai.core.language.locales
import xrai.core.language.translation
from pages.shared.formatting import class_label, format_number
from pages.shared.language import CHOICE_KEY, CHOSEN_KEY, COOKIE, _initial_language, reader_language
from tests.languages import find_untranslated
from xrai.core import errors
from xrai.core.errors import XraiError
from xrai.core.labels import CLASS_NAMES, condition_phrase
from xrai.core.language import (
    LANGUAGES,
    N_,
    Message,
    dump_json,
    join_messages,
    language,
    load_json,
    message_from_record,
    number,
    say,
    say_plural,
    set_language_provider,
    tr,
    translate,
    trn,
    use_language,
)
from xrai.core.language.catalogue import Catalogue, load
from xrai.core.language.field import MessageField
from xrai.core.language.message import template_fields
from xrai.core.language.messages import PROJECT, sources, update

FRENCH = load("fr")
SCREENS = [PROJECT / "streamlit_app.py", *sorted((PROJECT / "pages").rglob("*.py"))]
DRAWN = sorted((PROJECT / "xrai" / "figures").rglob("*.py"))
CARDS = sorted((PROJECT / "checkpoints").glob("*/card.json"))
ERRORS = PROJECT / "xrai" / "core" / "errors.py"
MARKS = ("tr", "trn", "N_", "say", "say_plural")
TELLING = (
    "tr",
    "trn",
    "translate",
    "number",
    "nice",
    "nice_names",
    "listed",
    "scans",
    "percent",
    "measure",
    "written",
    "between",
    "span",
    "interval_line",
    "megabytes",
    "duration",
    "day",
    "moment",
)
"""What gives words or numbers in the reader's language."""
NARROW, WIDE = "\u202f", "\u00a0"


def strings(message):
    return [message.string] if isinstance(message.string, str) else list(message.string)


def identities(message):
    return [message.id] if isinstance(message.id, str) else list(message.id)


@pytest.fixture
def french():
    with use_language("fr"):
        yield


# ---------------------------------------------------------------- messages with values


def test_english_is_said_as_it_stands():
    assert tr("{n:,} scans of {name}, {share:.1f}", n=1234, name="A", share=0.25) == "1,234 scans of A, 0.2"
    assert trn("{n:,} scan", "{n:,} scans", 1) == "1 scan"
    assert trn("{n:,} scan", "{n:,} scans", 0) == "0 scans"
    assert translate("Whatever 1,5 it was.") == "Whatever 1,5 it was."
    assert number("1,234.5 %") == "1,234.5 %"


def test_without_values_braces_stand_for_themselves(french):
    assert tr("Nobody has {this}, nor {that:,}.") == "Nobody has {this}, nor {that:,}."


@pytest.mark.parametrize(
    ("value", "form", "written"),
    [
        (1234567, "{x:,}", f"1{NARROW}234{NARROW}567"),
        (1234.5, "{x:,.1f}", f"1{NARROW}234,5"),
        (0.25, "{x}", "0,25"),
        (np.float32(0.5), "{x}", "0,5"),
        (np.int64(1234), "{x:,}", f"1{NARROW}234"),
        (2026, "{x}", "2026"),
        ("1,5.png", "{x}", "1,5.png"),
        ("a.b", "{x:>5}", "  a.b"),
    ],
)
def test_numbers_are_written_the_french_way_and_texts_left_alone(french, value, form, written):
    assert tr(form, x=value) == written


def test_french_counts_nought_as_one(french):
    assert [trn("{n:,} scan", "{n:,} scans", n) for n in (0, 1, 2, 1000)] == [
        "0 cliché",
        "1 cliché",
        "2 clichés",
        f"1{NARROW}000 clichés",
    ]


def test_nothing_is_told_as_nothing(french):
    """gettext says the head of its file for an empty message."""
    assert (tr(""), translate(""), translate("  ")) == ("", "", "  ")


# ---------------------------------------------------------------- what is spoken


def test_what_is_marked_stays_as_it_is(french):
    assert N_("Dataset") == "Dataset"
    assert tr("Dataset") == "Jeu de données"


def test_whoever_is_asked_says_which_language(monkeypatch):
    monkeypatch.setattr(xrai.core.language.locales, "_provider", [lambda: "en"])
    assert language() == "en"
    set_language_provider(lambda: "fr")
    assert language() == "fr"
    with use_language("en"):
        assert language() == "en"
    assert language() == "fr"


def test_a_language_ends_with_its_block_also_after_an_error():
    with pytest.raises(KeyError), use_language("fr"):
        raise KeyError
    assert language() == "en"


def test_several_pages_at_once_read_the_file_once(monkeypatch):
    loaded = []

    class Slow(Catalogue):
        def __init__(self, code):
            loaded.append(code)
            super().__init__(code)

    def say(_):
        with use_language("fr"):
            return tr("Dataset")

    monkeypatch.setattr("xrai.core.language.catalogue.Catalogue", Slow)
    xrai.core.language.translation._catalogue_of.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(say, range(8))) == {"Jeu de données"}
    assert loaded == ["fr"]
    xrai.core.language.translation._catalogue_of.cache_clear()


# ---------------------------------------------------------------- messages of the engine


def example():
    """A message with a nested plural, a word, a name and numbers."""
    return say(
        "The {split} split of “{name}” has {scans}, {share:.1f} % of {total:,}; {words}.",
        split=N_("Dataset"),
        name="Train",
        scans=say_plural("{n:,} scan", "{n:,} scans", 1234),
        share=12.345,
        total=np.int64(9999),
        words=[N_("Dataset"), "No"],
    )


EXAMPLE = "The Dataset split of “Train” has 1,234 scans, 12.3 % of 9,999; Dataset, No."


def test_a_message_is_its_english_sentence():
    message = example()
    assert isinstance(message, str)
    assert message == EXAMPLE == str(message) == f"{message}" == translate(message)
    assert type(translate(message)) is str
    assert json.loads(json.dumps([message])) == [EXAMPLE]
    assert hash(message) == hash(EXAMPLE)


def test_values_that_are_messages_are_translated_in_turn_and_names_are_not(french):
    text = translate(example())
    assert (
        text
        == f"The Jeu de données split of “Train” has 1{NARROW}234 clichés, 12,3 % of 9{NARROW}999; Jeu de données, No."
    )


def test_a_message_is_translated_by_its_template(french):
    message = say("Audit of {name}", name="Train")
    assert message == "Audit of Train"
    assert translate(message) != message
    assert translate(message).endswith("Train")


def test_a_plain_text_is_translated_only_as_a_whole(french):
    drawings = "drawings, no patients and no medical meaning"
    assert translate(drawings) == "dessins, aucun patient et aucune signification médicale"
    assert translate(f"{drawings}, and more") == f"{drawings}, and more"
    assert translate("Audit of a.hdf5") == "Audit of a.hdf5"


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_a_plural_follows_the_rule_of_the_language(n):
    message = say_plural("{n:,} scan", "{n:,} scans", n)
    assert message == (f"{n:,} scan" if n == 1 else f"{n:,} scans")
    with use_language("fr"):
        assert translate(message) == f"{n:,} ".replace(",", NARROW) + ("cliché" if n < 2 else "clichés")


def test_without_values_a_message_may_hold_braces():
    assert say("Nobody has {this}.") == N_("Nobody has {this}.") == "Nobody has {this}."


def test_joined_messages_are_translated_one_by_one(french):
    joined = join_messages([N_("Dataset"), "a {b} c", say_plural("{n:,} scan", "{n:,} scans", 2)], " {} ")
    assert joined == "Dataset {} a {b} c {} 2 scans"
    assert translate(joined) == "Jeu de données {} a {b} c {} 2 clichés"
    assert join_messages([]) == ""


@pytest.mark.parametrize(
    "again",
    [
        copy.copy,
        copy.deepcopy,
        lambda message: pickle.loads(pickle.dumps(message)),
        lambda message: message_from_record(json.loads(json.dumps(message.to_record()))),
        lambda message: load_json(dump_json({"a": [message]}))["a"][0],
        lambda message: Model.model_validate_json(Model(text=message).model_dump_json()).text,
    ],
)
def test_a_message_survives(again):
    before = example()
    after = again(before)
    assert type(after) is Message
    assert (str(after), after.template, after.plural, after.values) == (
        str(before),
        before.template,
        before.plural,
        before.values,
    )
    assert isinstance(after.values["scans"], Message)
    with use_language("fr"):
        assert translate(after) == translate(before)


class Model(BaseModel):
    text: MessageField


def test_a_field_of_a_record_keeps_plain_texts_plain():
    assert Model(text="Yes").model_dump_json() == '{"text":"Yes"}'
    assert Model.model_validate({"text": {"template": "Dataset", "values": {}}}).text == N_("Dataset")
    assert isinstance(Model(text=example()).model_dump()["text"], Message)
    with pytest.raises(ValidationError):
        Model.model_validate({"text": 5})


def test_an_error_carries_its_message(french):
    error = XraiError("Audit of {name}", name="Train")
    assert str(error) == "Audit of Train"
    assert translate(error.message) != str(error)
    assert translate(say("{error}", error=error)) == translate(error.message)
    assert XraiError("As it is.").message == "As it is."


HOSTILE = [
    {"template": "{x.__class__}", "values": {"x": "a"}},
    {"template": "{x[0]}", "values": {"x": "a"}},
    {"template": "{x:999999999}", "values": {"x": "a"}},
    {"template": "{x:.999999999f}", "values": {"x": 1.0}},
    {"template": "{x:{y}}", "values": {"x": 1, "y": "999999999"}},
    {"template": "{x!r}", "values": {"x": "a"}},
    {"template": "{}", "values": {"x": "a"}},
    {"template": "{0}", "values": {"x": "a"}},
    {"template": "{y}", "values": {"x": "a"}},
    {"template": "{x", "values": {"x": "a"}},
    {"template": "{x:,}", "values": {"x": "a"}},
    {"template": "{x}", "values": {"x": {"a": 1}}},
    {"template": "{x}", "values": ["a"]},
    {"template": "{x}"},
    {"values": {}},
    {"template": 5, "values": {}},
    {"template": "a", "values": {}, "more": 1},
    {"template": "a", "plural": "b", "values": {}},
    {"template": "a", "plural": 5, "values": {"n": 1}},
    {"template": "{n}", "plural": "{n}s", "values": {"n": "1"}},
    {"template": "{x}", "values": {"x": 10**400}},
    {"template": "{x}", "values": {"x": ["a" * 100] * 1000}},
    {"template": "a" * 100_000, "values": {}},
    {"template": "{x}" * 5_000, "values": {"x": "a" * 5_000}},
    5,
    None,
    ["a"],
]


@pytest.mark.parametrize("record", HOSTILE, ids=lambda record: str(record)[:60])
def test_a_record_that_is_no_message_is_refused(record):
    with pytest.raises(ValueError):
        message_from_record(record)


def test_a_record_is_not_nested_without_end():
    record = "end"
    for _ in range(50):
        record = {"template": "{x}", "values": {"x": record}}
    with pytest.raises(ValueError):
        message_from_record(record)


def test_values_that_do_not_fit_the_translation_leave_the_sentence_in_english(french):
    known = next(str(one.id) for one in FRENCH if isinstance(one.id, str) and "{n:,}" in str(one.id) and one.string)
    message = message_from_record(
        {
            "template": known.replace("{n:,}", "{n}"),
            "values": {"n": "many", **dict.fromkeys(template_fields(known) - {"n"}, 1)},
        }
    )
    assert translate(message) == str(message)


def test_what_is_no_number_is_written_as_a_dash(french):
    assert [format_number(value, ".1%") for value in (float("nan"), float("inf"), -float("inf"))] == ["–"] * 3
    assert format_number(0.5, ".1%") == f"50,0{NARROW}%"


def test_every_usual_class_has_french_words_within_a_sentence(french):
    for name in CLASS_NAMES:
        for spelt in (name, name.upper(), name.lower().replace(" ", "_")):
            assert translate(condition_phrase(spelt)) != condition_phrase(spelt), spelt
            assert class_label(spelt) == tr(name), spelt


def test_only_usual_classes_are_looked_up(french):
    """A folder READ was once “Lu le”, as the catalogue has that word for a column."""
    assert [class_label(name) for name in ("READ", "MODEL_ONE", "COVID", "Scan", "sharpen")] == [
        "Read",
        "Model one",
        "COVID",
        "Scan",
        "Sharpen",
    ]


def test_usual_classes_keep_their_spelling_in_english():
    assert [class_label(name) for name in ("Lung_Opacity", "PLEURAL_EFFUSION", "covid pneumonia")] == [
        "Lung Opacity",
        "Pleural effusion",
        "Covid pneumonia",
    ]


# ---------------------------------------------------------------- the catalogue


def test_every_message_has_a_french_text():
    missing = [f"{message.locations[0][0]}: {message.id!r}" for message in FRENCH if not all(strings(message))]
    assert not missing, f"{len(missing)} without a translation:\n" + "\n".join(missing)


def test_the_catalogue_holds_what_the_source_holds_and_nothing_else():
    fresh = update("fr")
    assert {str(message.id) for message in FRENCH} == {str(message.id) for message in fresh}
    for message in filter(lambda one: one.id, fresh):
        known = FRENCH.get(message.id if isinstance(message.id, str) else message.id[0])
        assert known is not None
        assert (known.string or None, known.flags) == (message.string or None, message.flags), message.id
        assert {file for file, _ in known.locations} == {file for file, _ in message.locations}, message.id


def test_translations_hold_the_values_of_their_messages_and_no_others():
    for message in filter(all_said, FRENCH):
        known = set().union(*map(template_fields, identities(message)))
        for text in strings(message):
            assert template_fields(text) <= known, message.id


def test_forms_for_one_and_for_many_hold_the_number():
    plural = [message for message in FRENCH if all_said(message) and not isinstance(message.id, str)]
    assert plural
    for message in plural:
        assert len(strings(message)) == 2, message.id
        for english, text in zip(message.id, strings(message), strict=True):
            assert "n" in template_fields(text) or "n" not in template_fields(english), message.id


def all_said(message):
    return bool(message.id) and all(strings(message))


def said_in_french():
    """Translations that are not the message itself."""
    return [
        (message.id, text)
        for message in filter(all_said, FRENCH)
        for text in strings(message)
        if text not in identities(message)
    ]


def test_french_spaces_do_not_break():
    wrong = [text for _, text in said_in_french() if re.search(r" [;!?%»]|« | :(\s|$)", text)]
    assert not wrong


def test_what_is_the_same_in_french_has_no_english_punctuation():
    same = [text for message in filter(all_said, FRENCH) for text in strings(message) if text in identities(message)]
    assert same
    wrong = [text for text in same if re.search(r"[“”]|[^\s\d][:;!?](\s|$)", text)]
    assert not wrong


def test_french_has_no_straight_or_english_quotation_marks():
    wrong = [text for english, text in said_in_french() if re.search(r"[“”]", text)]
    assert not wrong


_ENGLISH_WORDS = re.compile(
    r"\b(the|and|of|with|without|which|is|are|was|were|that|this|not|from|for|to|by|its|has|have|been|than|only|when)\b"
)
_CODE = re.compile(
    r"`[^`]*`|\{[^}]*\}|<[^>]*>|https?://\S+"
    r"|Guangzhou Women and Children's Medical Center|A guide to convolution arithmetic for deep learning"
)
"""And proper names."""


def test_french_has_no_english_words():
    wrong = [text for _, text in said_in_french() if _ENGLISH_WORDS.search(_CODE.sub(" ", text))]
    assert not wrong


# ---------------------------------------------------------------- the source


def calls(tree, names):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node


@pytest.mark.parametrize("file", sources(), ids=lambda file: file.relative_to(PROJECT).as_posix())
def test_what_is_told_is_a_literal_or_was_marked(file):
    """Never an f-string, nor one of two literals: the catalogue would not hold it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for call in calls(tree, ("tr",)):
        choices = list(branches(call.args[0]))
        named = all(isinstance(item, ast.Name | ast.Attribute | ast.Subscript | ast.Call) for item in choices)
        assert named or isinstance(call.args[0], ast.Constant), ast.unparse(call)
    for call in calls(tree, ("trn", "say_plural", "say", "N_")):
        if file == ERRORS and ast.unparse(call) == "say(message, **values)":
            continue  # hands on what errors are raised with, which is looked at below
        assert all(isinstance(item, ast.Constant) for item in call.args[:2]), ast.unparse(call)
    for call in calls(tree, {name for name in vars(errors) if name.endswith("Error")}):
        assert not call.args or not isinstance(call.args[0], ast.JoinedStr | ast.BinOp), ast.unparse(call)


def branches(node):
    """What a choice may come to."""
    if isinstance(node, ast.IfExp):
        yield from (*branches(node.body), *branches(node.orelse))
    else:
        yield node


@pytest.mark.parametrize("file", SCREENS, ids=lambda file: file.relative_to(PROJECT).as_posix())
def test_nothing_that_was_told_is_kept_for_readers_of_another_language(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and any("cache" in ast.unparse(item) for item in node.decorator_list):
            arguments = {item.arg for item in (*node.args.args, *node.args.kwonlyargs)}
            told_here = [ast.unparse(call) for call in calls(node, TELLING)]
            assert not told_here or arguments & {"code", "language"}, f"{node.name}: {told_here}"


_NO_WORDS = re.compile(
    r":material/\w+:"  # icons
    r"|\\.*|[a-zA-Z]_\w.*"  # formulas
    r"|<[^>]*>|rgba?\(.*?\)|[a-z-]+:.*;.*|\d+px .*|box-shadow.*"  # what browsers draw with
    r"|\b(Int64|Float64)\b"  # kinds of columns
    r"|\{\}",
    re.DOTALL,
)
_LOOKS_LIKE_TEXT = re.compile(r"[A-Za-z]{2,}\W* \W*\w{2,}|^[A-Z][a-z]+")

NO_TEXT = {
    "Language / Langue": "in both languages at once",
    "ImageNet": "a name",
    "Fused CAM": "the name of a method, as a key",
    "research only, no diagnosis": "a column for programs",
    "not sure": "a column for programs, and the name of a shape",
    "x unified": "Plotly's",
    "bottom left": "Plotly's",
    "bottom right": "Plotly's",
    "Arial, Helvetica, Liberation Sans, DejaVu Sans, sans-serif": "fonts",
    "(?<=[a-z]) (?=\\d)|(?<=\\d) (?=[a-z])": "a pattern",
    "Four counts that sum to 1,000 are to be drawn, not {}.": "to programmers",
}
"""What looks like text for people and is none, and why."""


@pytest.mark.parametrize("file", [*SCREENS, *DRAWN], ids=lambda file: file.relative_to(PROJECT).as_posix())
def test_no_text_for_people_stands_outside_the_catalogue(file):
    found = [(line, text) for line, text in texts_unmarked(file) if text not in NO_TEXT and text[:7] != "\nexport"]
    assert not found


def texts_unmarked(file):
    """Texts that look as if people read them and that nothing marks, with their lines."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    passed = {id(part) for call in calls(tree, MARKS) for item in call.args[:2] for part in ast.walk(item)}
    passed |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in passed:
            continue
        if isinstance(node, ast.JoinedStr):
            passed |= set(map(id, node.values))
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        else:
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if _LOOKS_LIKE_TEXT.search(_NO_WORDS.sub("", text)):
            yield node.lineno, text


# ---------------------------------------------------------------- the cards of the shipped models


@pytest.mark.parametrize("file", CARDS, ids=lambda file: file.parent.name)
def test_the_cards_of_the_shipped_models_are_told_in_french(french, file):
    card = load_json(file.read_text(encoding="utf-8"))
    said = [*card["notes"], card["dataset"]["population"], card["dataset"]["licence"]]
    said += [item[name] for item in card["dataset"]["audit"] for name in ("title", "sentence")]
    said += [row[name] for row in card["trust_report"]["rows"] for name in ("what", "value", "aim")]
    said += [card["threshold"]["description"]] if card["threshold"] else []
    assert len(said) > 100
    names = ["Guangzhou Women and Children's Medical Center", "CC BY", "covid19-image-dataset", *card["classes"]]
    assert find_untranslated(map(translate, filter(None, said)), allowed=names) == []


# ---------------------------------------------------------------- the reader's choice


@pytest.mark.parametrize(
    ("cookie", "locale", "code"),
    [
        (None, "fr-CA", "fr"),
        (None, "FR", "fr"),
        (None, "de", "en"),
        (None, None, "en"),
        (None, "fry", "en"),
        ("fr", "en-US", "fr"),
        ("en", "fr-FR", "en"),
        ("xx", "fr-FR", "fr"),
    ],
)
def test_at_first_the_cookie_decides_and_then_the_browser(monkeypatch, cookie, locale, code):
    cookies = {COOKIE: cookie} if cookie else {}
    monkeypatch.setattr(st, "context", SimpleNamespace(cookies=cookies, locale=locale))
    assert _initial_language() == code


def test_nobody_looks_on_outside_a_page():
    assert reader_language() == "en"


def test_the_switch_turns_the_whole_page(home):
    app = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=600).run()
    assert app.title[0].value == "Diagnose"
    assert CHOSEN_KEY not in app.session_state
    app.button_group(CHOICE_KEY).set_value("fr").run()
    assert app.title[0].value == "Diagnostic"
    assert app.session_state[CHOSEN_KEY]
    app.button_group(CHOICE_KEY).set_value("en").run()
    assert app.title[0].value == "Diagnose"
    assert not app.exception


def test_the_first_click_on_the_switch_of_a_fresh_server_is_not_lost():
    """A deep link runs a page before the navigation is known; until then Streamlit gives widgets another identity."""
    app = (PROJECT / "streamlit_app.py").read_text(encoding="utf-8")
    assert -1 < app.find("st.navigation(") < app.find("switch()") < app.find("page.run()")


def page_of_choices():
    import streamlit as st

    from pages.shared.language import show_language_switch
    from xrai.core.language import tr

    words = {1: "Dataset", 2: "Train", 3: "Models"}

    def said(n):
        return tr(words[n])

    show_language_switch()
    st.selectbox("one", list(words), format_func=said, key="one")
    st.radio("two", list(words), format_func=said, key="two")
    st.multiselect("many", list(words), default=[3], format_func=said, key="many")
    st.select_slider("slid", list(words), format_func=said, key="slid")
    st.selectbox("of no name", list(words), format_func=said)
    st.pills("pills", list(words), format_func=said, key="pills")
    st.toggle("on", key="on")
    st.checkbox("ticked", key="ticked")
    st.number_input("number", 0, 9, key="number")
    st.slider("slider", 0.0, 9.0, key="slider")
    st.text_input("text", key="text")
    st.button("again", key="again")


def test_what_was_chosen_stays_chosen_in_the_other_language():
    app = AppTest.from_function(page_of_choices).run()
    app.selectbox("one").set_value(2)
    app.radio("two").set_value(2)
    app.multiselect("many").set_value([2, 3])
    app.select_slider("slid").set_value(2)
    app.button_group("pills").set_value(3)
    app.toggle("on").set_value(True)
    app.checkbox("ticked").set_value(True)
    app.number_input("number").set_value(5)
    app.slider("slider").set_value(2.5)
    app.text_input("text").set_value("0,5").run()
    for before, code in pairwise(("en", "fr", "en", "fr")):
        with use_language(before):  # a browser says which choice it means by the words that it shows
            app.button_group(CHOICE_KEY).set_value(code).run()
        boxes = (app.selectbox("one"), app.radio("two"), app.multiselect("many"), app.select_slider("slid"))
        assert all(box.proto.set_value for box in boxes)  # so that it says it by other words from now on
        with use_language(code):
            app.button("again").click().run()
        chosen = [app.session_state[key] for key in ("one", "two", "many", "slid", "pills")]
        assert chosen == [2, 2, [2, 3], 2, 3]
        kept = [app.session_state[key] for key in ("on", "ticked", "number", "slider", "text")]
        assert kept == [True, True, 5, 2.5, "0,5"]
        assert not app.exception
        assert not app.warning


def test_the_switch_offers_every_language_by_its_own_name(home):
    app = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=600).run()
    assert list(app.button_group(CHOICE_KEY).options) == list(LANGUAGES.values())
