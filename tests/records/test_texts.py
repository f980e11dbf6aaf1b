"""A text's canonical form and its id: the identity that everything later rests on."""

import unicodedata

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tutelage.records.texts import canonical, distinct, text_id, text_ids

COMPOSED, DECOMPOSED = "Ingénieure", "Inge\u0301nieure"
# Letters whose case, accents and blanks meet in every way.
AWKWARD = st.text("aAéÉ \u0301\u030cjJİıßẞΣ\t\u00a0\u2028")


@given(st.text() | AWKWARD, st.booleans())
@example("J\u030c", True)  # has no composed capital, but a composed small letter
def test_canonical_form_is_its_own_canonical_form(text, lower):
    once = canonical(text, lower=lower)
    assert canonical(once, lower=lower) == once


@given(st.text() | AWKWARD, st.booleans())
@example("J\u030c", True)
def test_canonical_form_is_nfc_and_stripped(text, lower):
    form = canonical(text, lower=lower)
    assert unicodedata.is_normalized("NFC", form)
    assert form == form.strip()


def test_case_is_kept_unless_asked():
    assert canonical("RN Nurse") == "RN Nurse"
    assert canonical("RN Nurse", lower=True) == "rn nurse"


def test_inner_white_space_is_kept():
    assert canonical("\t data  engineer\n") == "data  engineer"


def test_both_spellings_of_a_letter_have_one_id():
    assert COMPOSED != DECOMPOSED
    assert text_id(COMPOSED) == text_id(DECOMPOSED) == text_id(f" {DECOMPOSED}\n")


@pytest.mark.parametrize(
    ("text", "want"), [("", -5426141060434712860), ("nurse", -955980364903824882), ("Müller", -4620035560732007515)]
)
def test_ids_are_the_same_on_every_machine(text, want):
    assert text_id(text) == want


@given(st.lists(AWKWARD, min_size=2, max_size=2))
def test_ids_are_equal_exactly_where_canonical_forms_are(pair):
    first, second = pair
    assert (text_id(first) == text_id(second)) == (canonical(first) == canonical(second))


@given(st.lists(AWKWARD))
def test_ids_stand_in_the_order_of_the_texts(texts):
    ids = text_ids(texts)
    assert ids.dtype == np.int64
    assert ids.tolist() == [text_id(text) for text in texts]


@given(st.lists(AWKWARD))
def test_distinct_keeps_each_text_where_it_first_stood(texts):
    first = [text for i, text in enumerate(texts) if text_id(text) not in map(text_id, texts[:i])]
    assert distinct(texts) == first


def test_distinct_takes_any_iterable():
    assert distinct(text for text in ["nurse", "welder", " nurse"]) == ["nurse", "welder"]
