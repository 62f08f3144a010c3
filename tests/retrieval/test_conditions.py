"""What a condition means, beside a loop; and texts that mean nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.errors import QueryError
from tbps_cli.retrieval.conditions import Condition, parse_conditions

KINDS = {"camera": "number", "time": "text"}
NUMBERS = st.none() | st.integers(-3, 3).map(float)
TIMES = st.sampled_from(["", "2023-12-31", "2024-01-01", "2024-01-01T10:00:00", "x"])


def meets(value: object, sign: str, bound: object) -> bool:
    """What a condition means for one value, unknown being None."""
    if bound is None:
        return (value is None) == (sign == "=")
    if value is None:
        return False
    return bool(
        {"=": value == bound, "!=": value != bound, ">": value > bound, "<": value < bound,
         ">=": value >= bound, "<=": value <= bound}[sign]
    )  # fmt: skip


@given(
    rows=st.lists(st.tuples(NUMBERS, TIMES), max_size=12),
    conditions=st.lists(
        st.tuples(st.just("camera"), st.sampled_from(["=", "!=", ">", "<", ">=", "<="]), NUMBERS)
        | st.tuples(
            st.just("time"), st.sampled_from(["=", "!=", ">", "<", ">=", "<="]), TIMES.map(lambda t: t or None)
        ),
        max_size=3,
    ).filter(lambda conditions: all(bound is not None or sign in ("=", "!=") for _, sign, bound in conditions)),
    space=st.sampled_from(["", " "]),
)
def test_conditions_select_what_a_loop_selects(
    rows: list[tuple[float | None, str]], conditions: list[tuple[str, str, object]], space: str
) -> None:
    texts = [f"{column}{space}{sign}{space}{'' if bound is None else bound}" for column, sign, bound in conditions]
    parsed = parse_conditions(texts, KINDS)  # type: ignore[arg-type]
    columns = {
        "camera": np.array([np.nan if camera is None else camera for camera, _ in rows], dtype=np.float64),
        "time": np.array([time for _, time in rows], dtype=object),
    }
    expected = [
        all(meets(camera if column == "camera" else time or None, sign, bound) for column, sign, bound in conditions)
        for camera, time in rows
    ]
    assert parsed.mask(columns, len(rows)).tolist() == expected
    assert set(parsed.columns) == {column for column, _, _ in conditions}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("place=3", "no column 'place'. There are: camera, time."),
        ("camera=three", "column 'camera' holds numbers, and 'three' is none"),
        ("camera=nan", "'nan' is none"),
        ("camera", "not a condition"),
        ("=3", "not a condition"),
        ("camera==3", "not a condition"),
        ("camera>", "no value behind >"),
        ("", "not a condition"),
    ],
)
def test_a_condition_that_means_nothing_is_explained(text: str, said: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_conditions([text], KINDS)  # type: ignore[arg-type]
    assert said in str(caught.value)
    with pytest.raises(QueryError, match="no columns"):
        parse_conditions(["camera=3"], {})


@given(text=st.text(st.sampled_from("camertime=!<> 3.x\n\0é"), max_size=12))
def test_any_text_is_a_condition_or_an_error(text: str) -> None:
    try:
        ours = parse_conditions([text])
    except QueryError as error:
        assert "not a condition" in str(error) or "is unknown" in str(error)
        with pytest.raises(QueryError):
            parse_conditions([text], KINDS)  # type: ignore[arg-type]
        return
    (condition,) = ours.conditions
    assert "".join(str(condition).split()) == "".join(text.split())
    try:
        assert parse_conditions([text], KINDS) == ours  # type: ignore[arg-type]
    except QueryError as error:
        assert "There are: camera, time." in str(error) or "holds numbers" in str(error)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("camera=3", ("camera", "=", "3")),
        ("time >= 120", ("time", ">=", "120")),
        ("tag!=a=b", ("tag", "!=", "a=b")),
        ("note=", ("note", "=", "")),
        ("a<b>c", ("a", "<", "b>c")),
    ],
)
def test_a_condition_is_cut_at_its_first_operator(text: str, condition: tuple[str, str, str]) -> None:
    assert parse_conditions([text]).conditions == (Condition(*condition),)


@pytest.mark.parametrize("value", ["nan", "inf", "1e999", "1_0", "٣", "0x3", "three", "", "- 3"])
def test_only_plain_finite_numbers_are_numbers(value: str) -> None:
    assert Condition("camera", "=", value).number is None


def test_text_is_never_compared_with_numbers() -> None:
    with pytest.raises(QueryError, match="holds numbers, and 'three' is none"):
        Condition("camera", "!=", "three").mask(np.array([3.0]))
    assert Condition("tag", "<", "3").mask(np.array(["20", "3", "30", ""], dtype=object)).tolist() == [
        True,
        *[False] * 3,
    ]
