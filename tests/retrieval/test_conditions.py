"""What a condition means, beside a loop over numbers, dates, text and None; and texts that mean nothing."""

from __future__ import annotations

from datetime import datetime, time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.cells import UNKNOWN, kind_of, read_cells
from tbps_cli.errors import QueryError
from tbps_cli.retrieval.conditions import Condition, parse_conditions

COLUMNS = ["camera", "time"]
SIGNS = st.sampled_from(["=", "!=", ">", "<", ">=", "<="])
NOTHING = st.sampled_from(sorted(UNKNOWN)).flatmap(lambda text: st.sampled_from([text, text.upper(), f" {text} "]))
NUMBERS = st.integers(-3, 12).map(float) | st.floats(-1e6, 1e6)
DATES = st.datetimes(datetime(1999, 12, 30), datetime(2000, 1, 2)).map(
    lambda moment: moment.replace(
        minute=moment.minute % 2, second=0, microsecond=moment.microsecond // 500_000 * 500_000
    )
) | st.sampled_from([datetime(2000, 1, 1), datetime(2000, 1, 1, 10)])
WORDS = st.sampled_from(["x", "3,5", "31/01/2024", "12 km/h", "2024-02-30", "lobby", "9999999999999999999"])


def write_date(moment: datetime, form: int) -> str:
    """One of the forms of this moment, the shortest that says it whole, or a longer one."""
    forms = [
        moment.isoformat(sep=sep, timespec=spec) for spec in ("minutes", "seconds", "microseconds") for sep in "T "
    ]
    if moment.time() == time():
        forms.append(moment.strftime("%Y-%m-%d"))
    whole = [text for text in forms if datetime.fromisoformat(text) == moment]
    return whole[form % len(whole)]


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


@st.composite
def written(draw: st.DrawFn, kind: str, value: object) -> str:
    if value is None:
        return draw(NOTHING)
    if kind == "number":
        return draw(st.sampled_from([repr(value), f" {value!r}", f"{value:.20g}", f"+{value!r}".replace("+-", "-")]))
    return write_date(value, draw(st.integers(0, 9))) if isinstance(value, datetime) else str(value)


@st.composite
def columns(draw: st.DrawFn) -> tuple[str, list[object], list[str]]:
    """A kind, values of it and None, and how they are written."""
    kind = draw(st.sampled_from(["number", "date", "text"]))
    known = {"number": NUMBERS, "date": DATES, "text": WORDS | NUMBERS.map(repr)}[kind]
    values = draw(st.lists(st.none() | known, max_size=8))
    return kind, values, [draw(written(kind, value)) for value in values]


@given(column=columns(), sign=SIGNS, data=st.data(), is_stored_as_numbers=st.booleans())
def test_conditions_select_what_a_loop_selects(
    column: tuple[str, list[object], list[str]], sign: str, data: st.DataObject, is_stored_as_numbers: bool
) -> None:
    kind, values, texts = column
    stored = np.array(texts, dtype=object)
    if kind == "number" and is_stored_as_numbers:
        stored = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    cells = read_cells(stored)
    assert kind_of([stored[:3], stored[3:]]) == cells.kind
    known = [value for value in values if value is not None]
    if kind != "text" and (known or stored.dtype != object):
        assert cells.kind == kind
    if any(text in ("x", "3,5", "31/01/2024", "2024-02-30") for text in known):
        assert cells.kind == "text"
    bound = data.draw({"number": NUMBERS, "date": DATES, "text": WORDS}[kind] | st.none())
    if bound is None and sign not in ("=", "!="):
        return
    (condition,) = parse_conditions([f"a {sign} {data.draw(written(kind, bound))}"]).conditions
    names = [f"{row}.jpg" for row in range(len(values))]
    try:
        mask = condition.mask(cells, names.__getitem__).tolist()
    except QueryError as error:
        assert bound is not None
        assert kind == "text"
        spoiler = cells.spoiler[1] if cells.spoiler else condition.value
        assert repr(spoiler) in str(error)
        return
    if kind == "text" and cells.kind == "number":  # all of them happened to be numbers
        values = [None if value is None else float(str(value)) for value in values]
        bound = None if bound is None else float(str(bound))
    assert mask == [meets(value, sign, bound) for value in values]


@given(
    cameras=st.lists(st.none() | st.integers(0, 2).map(float), min_size=4, max_size=4),
    tags=st.lists(st.sampled_from(["", "x", "y"]), min_size=4, max_size=4),
    asked=st.lists(st.sampled_from(["camera>=1", "camera!=1", "camera=", "tag=x", "tag!=x", "tag!="]), max_size=3),
)
def test_a_row_is_undecided_where_an_unknown_value_decides(
    cameras: list[float | None], tags: list[str], asked: list[str]
) -> None:
    """As if the unknown values were tried out."""
    conditions = parse_conditions(asked, ["camera", "tag"])
    stored = {
        "camera": np.array([np.nan if camera is None else camera for camera in cameras]),
        "tag": np.array(tags, dtype=object),
    }
    cells = {name: read_cells(values) for name, values in stored.items()}
    met, undecided = conditions.judge(cells, 4, str)
    for row, (camera, tag) in enumerate(zip(cameras, tags, strict=True)):
        known = [one for one in conditions.conditions if one.value]
        about_unknown = [one for one in conditions.conditions if not one.value]
        value_of = {"camera": camera, "tag": tag or None}
        fits = all(meets(value_of[one.column], one.operator, None) for one in about_unknown)
        bounds = {"1": 1.0, "x": "x"}
        told = [
            None if value_of[one.column] is None else meets(value_of[one.column], one.operator, bounds[one.value])
            for one in known
        ]
        assert met[row] == (fits and all(told))
        assert undecided[row] == (fits and None in told and False not in told)


@pytest.mark.parametrize(
    ("cells", "text", "said"),
    [
        (["8", "NA", "x", "10"], "a>=9", "text because of 'x', which is what '2' has"),
        (["05/01/2024", ""], "a>=2024-02-01", "text because of '05/01/2024'"),
        (["3,5"], "a<4", "text because of '3,5'"),
        (["12 km/h", "-"], "a<4", "text because of '12 km/h'"),
        (["2024-01-31", "7"], "a<8", "text because of '7'"),
        (["2024-01-31T12:00", "2024-01-31T12:00Z"], "a<2024-01-31", "text because of '2024-01-31T12:00Z'"),
        (["2024-01-31", "N/A"], "a=x", "holds dates, and 'x' is none"),
        (["2024-01-31", "N/A"], "a>=31.1.2024", "holds dates"),
        (["2024-01-31T12:00+01:00"], "a>=2024-01-31", "with its time zone"),
        (["2024-01-31"], "a>=2024-01-31T00:00Z", "without a time zone"),
        (["7", "null"], "a!=x", "holds numbers, and 'x' is none"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_cell_that_says_why(cells: list[str], text: str, said: str) -> None:
    (condition,) = parse_conditions([text]).conditions
    with pytest.raises(QueryError) as caught:
        condition.mask(read_cells(np.array(cells, dtype=object)), str)
    assert said in str(caught.value)


def test_dates_of_several_zones_are_compared_as_moments() -> None:
    cells = read_cells(
        np.array(["2024-01-31T12:00+01:00", "2024-01-31 11:30Z", "2024-01-31T05:59-05:00"], dtype=object)
    )
    (condition,) = parse_conditions(["a<2024-01-31T11:00:00.5Z"]).conditions
    assert condition.mask(cells, str).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("place=3", "no column 'place'. There are: camera, time."),
        ("camera>=nan", "'nan' is what is unknown"),
        ("camera", "not a condition"),
        ("=3", "not a condition"),
        ("camera==3", "not a condition"),
        ("camera>", "no value behind >"),
        ("", "not a condition"),
    ],
)
def test_a_condition_that_means_nothing_is_explained(text: str, said: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_conditions([text], COLUMNS)
    assert said in str(caught.value)
    with pytest.raises(QueryError, match="no columns"):
        parse_conditions(["camera=3"], [])


@given(text=st.text(st.sampled_from("camertime=!<> 3.x\n\0é"), max_size=12))
def test_any_text_is_a_condition_or_an_error(text: str) -> None:
    try:
        ours = parse_conditions([text])
    except QueryError as error:
        assert "not a condition" in str(error) or "is unknown" in str(error)
        with pytest.raises(QueryError):
            parse_conditions([text], COLUMNS)
        return
    (condition,) = ours.conditions
    assert "".join(str(condition).split()) == "".join(text.split())
    try:
        assert parse_conditions([text], COLUMNS) == ours
    except QueryError as error:
        assert "There are: camera, time." in str(error)


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
