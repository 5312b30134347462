"""The schema of a table: kinds, likelihoods, numbers of cells, and cells of numbers."""

import ast
import re
import shlex
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from pyro_vae import data
from pyro_vae.data import Schema
from pyro_vae.data.schema.cells import cells_of_frame
from pyro_vae.data.schema.choices import parse_choices
from pyro_vae.data.schema.kinds import likelihood_of
from pyro_vae.data.schema.recognise import with_times
from pyro_vae.errors import DataError, SettingError
from pyro_vae.spelling import in_quotes, spelt, split_names
from tests.data.tables import COLUMNS, EXPECTED, mixed


def schema_of(frame, columns=None):
    return Schema.read(cells_of_frame(frame, "table"), parse_choices(columns), name="table")


def column(values, choice=None):
    """The only column of a table of it."""
    said = None if choice is None else {"x": choice}
    return schema_of(pd.DataFrame({"x": values}), said).columns[0]


def test_every_kind_is_told_by_types_and_values():
    found = {c.name: (c.kind, c.likelihood, c.type) for c in schema_of(mixed(), COLUMNS).columns}
    assert found == EXPECTED


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, False] * 20, "yes-no"),
        ([0, 1] * 20, "yes-no"),
        ([0.0, 1.0] * 20, "yes-no"),
        (["a", "b"] * 20, "yes-no"),
        (["a", "b", "c"] * 20, "category"),
        (pd.Categorical(["a", "b", "c"] * 20, ["c", "a", "b"], ordered=True), "ordinal"),
        (pd.Categorical(["a", "b", "c"] * 20), "category"),
        ([1, 2, 3] * 20, "ordinal"),
        (list(range(1, 11)) * 6, "ordinal"),
        (list(range(1, 12)) * 6, "count"),
        ([1, 2, 4] * 20, "count"),
        ([0, 1, 2] * 20, "count"),
        ([-1, 0, 5] * 20, "real"),
        # A variance far below the mean; measurements that were rounded.
        ([3, 4, 5, 4, 7] * 20, "real"),
        ([1998, 2003, 2010, 2020] * 20, "real"),
        ([18, 40, 77, 90] * 20, "real"),
        ([11, 15, 12, 300, 13, 14] * 20, "positive"),
        ([0.01, 0.02, 0.04] * 20, "real"),
        ([0.5, 0.25, 0.125] * 20, "share"),
        ([0.9, 0.25, 0.125] * 20, "share"),
        ([0.5, 0.25, 1.0] * 20, "real"),
        ([0.5, 0.25, 0.0] * 20, "real"),
        (["2020-01-05", "2021-02-03"] * 20, "date"),
        (["2020-01-05T10:00", "2021-02-03 11:30:15"] * 20, "date"),
        (["2020-02-30", "2021-02-03", "2021-02-04"] * 20, "category"),
    ],
)
def test_the_kind_of_a_column(values, kind):
    assert guess_kind_of(values) == kind


def guess_kind_of(values):
    return column(values).kind


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([f"name {i}" for i in range(40)], "a word of its own in every row"),
        (list(range(100, 140)), "a whole number of its own"),
        ([f"word {i % 30}" for i in range(40)], "30 different words in 40 rows"),
        (["03/04/2020", "05/06/2021"] * 20, "YYYY-MM-DD"),
        ([None] * 40, "every cell is empty"),
        (["5 May 2020", "2020-1-5"] * 20, "YYYY-MM-DD"),
        (["1/2/2020 10:00", "2020-01-05"] * 20, "YYYY-MM-DD"),
        (["10%", "20%"] * 20, "numbers such as '10%'"),
        (["$1,200.50", "$5"] * 20, r"numbers such as '\$1,200.50'"),
        (["1,200", "950", "3,400", "2"] * 10, "numbers such as '1,200'"),
        (["5 €", "-7 €"] * 20, "numbers such as '5 €'"),
        (["1.5", "inf", "2", "3"] * 10, "numbers such as 'inf'"),
        (["<0.5", "2", "7", "9"] * 10, "numbers such as '<0.5'"),
        ([2**60 + 3 * i for i in range(40)], "a word of its own in every row"),
        ([3.5] * 40, "one value in all rows"),
        (["only"] * 40, "one value in all rows"),
    ],
)
def test_what_is_no_data_is_refused_with_what_drops_it(values, why):
    with pytest.raises(DataError, match=why) as error:
        column(values)
    assert 'columns="x=drop"' in str(error.value)
    frame = pd.DataFrame({"x": values, "y": [0, 1] * 20})
    assert schema_of(frame, "x=drop").names == ("y",)


def test_families_are_those_of_the_larger_likelihood():
    """Log-normal or gamma as SciPy's maximum likelihood says; the rest by their moments."""
    rng = np.random.default_rng(3)
    for x in (
        rng.lognormal(0, 1, 300),
        rng.gamma(0.5, 2, 300),
        rng.gamma(5, 2, 300),
        rng.weibull(0.7, 300),
        rng.lognormal(3, 0.3, 300),
    ):
        gamma = stats.gamma(*stats.gamma.fit(x, floc=0)).logpdf(x).sum()
        normal = stats.lognorm(*stats.lognorm.fit(x, floc=0)).logpdf(x).sum()
        expected = "gamma" if gamma > normal else "log-normal"
        assert likelihood_of("positive", x, 0) == expected
    assert likelihood_of("count", rng.poisson(4, 500), 0) == "poisson"
    assert likelihood_of("count", rng.negative_binomial(2, 0.2, 500), 0) == "negative-binomial"
    assert likelihood_of("real", rng.normal(size=500), 0) == "normal"
    assert likelihood_of("real", rng.standard_t(2, 500), 0) == "student-t"


def test_what_is_said_of_a_column_stands():
    frame = pd.DataFrame(
        {"a": [1, 2, 3, 4] * 10, "b": ["u", "v", "w", "u"] * 10, "c": [0.5, 2] * 20}
    )
    found = schema_of(frame, "a=student-t(df=4), b=ordinal(levels=[w, v, u, none]), c=covariate")
    a, b, c = found.columns
    assert (a.kind, a.likelihood) == ("real", "student-t(df=4)")
    assert (b.kind, b.levels) == ("ordinal", ["w", "v", "u", "none"])
    assert b.likelihood == "ordinal(num_classes=4)"
    assert (c.role, c.kind, c.likelihood) == ("covariate", "real", "")
    assert schema_of(frame, "a=binomial, b=category+covariate").columns[0].likelihood == (
        "binomial(total_count=4)"
    )
    assert schema_of(frame, "a=categorical").columns[0].levels == ["1", "2", "3", "4"]


def test_choices_are_read_from_a_file_and_written_to_one(tmp_path):
    schema = schema_of(mixed(), COLUMNS)
    path = tmp_path / "columns.txt"
    path.write_text(schema.choices_text())
    again = schema_of(mixed(), str(path))
    for one, other in zip(schema.columns, again.columns, strict=True):
        same = ("name", "role", "likelihood", "levels", "type")
        assert [getattr(one, k) for k in same] == [getattr(other, k) for k in same]


NAMES = [
    *("a,b", "a=b", "a b", "a+b", 'q"x', "q'x", "naïve ☕", "w [kg]", "p #1", "(a", "a)", "e]"),
    *("it's", '"x"', "'x'", "'tis", "[/b]", "-", "=x", "drop", "", " lead", "a\"b'c", "[", '""'),
    *("('a', 'b')", "x\\y", "a\nb", "$HOME"),
]


def test_any_name_and_level_can_be_typed():
    text = ", ".join(f"{spelt(name)}=drop" for name in NAMES)
    assert list(parse_choices(text)) == NAMES
    assert list(parse_choices(text.replace("drop, ", "drop  # said, so 'x\n"))) == NAMES
    levels = ", ".join(map(spelt, NAMES))
    assert split_names(levels) == NAMES
    found = parse_choices(f"x=ordinal(levels=[{levels}])+covariate, y=drop")
    assert (found["x"].levels, found["x"].role, found["y"].role) == (NAMES, "covariate", "drop")
    for name in NAMES:
        said = in_quotes(f"{spelt(name)}=drop")
        assert list(parse_choices(ast.literal_eval(said))) == [name]
        if not set(name) & set("\\\n") and not set("'\"") <= set(f"{said[1:-1]}"):
            assert list(parse_choices(*shlex.split(said))) == [name]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_proposed_works_as_it_stands(name):
    frame = pd.DataFrame({name: [f"q{i}" for i in range(40)], "y": [0, 1] * 20})
    with pytest.raises(DataError) as error:
        schema_of(frame)
    said = re.search(r"columns=(.*) \(--columns\)", str(error.value))
    assert schema_of(frame, ast.literal_eval(said[1])).names == ("y",)


def test_a_file_of_choices_is_read_again_whatever_names_and_levels_are(tmp_path):
    words = [word for word in NAMES if word] * 2
    frame = pd.DataFrame(dict.fromkeys(NAMES[:-3], words))
    said = f"ordinal(levels=[{', '.join(map(spelt, NAMES))}])"
    schema = schema_of(frame, {"a,b": said, "a=b": "covariate"})
    path = tmp_path / "columns.txt"
    path.write_text(schema.choices_text())
    again = schema_of(frame, str(path))
    for one, other in zip(schema.columns, again.columns, strict=True):
        same = ("name", "role", "likelihood", "levels", "type")
        assert [getattr(one, k) for k in same] == [getattr(other, k) for k in same]


def test_times_with_a_zone_are_in_utc_and_times_of_two_clocks_are_not_read():
    times = pd.Series(pd.date_range("1965-03-27 20:00", periods=40, freq="h", tz="Europe/Paris"))
    utc = times.dt.tz_convert("UTC").dt.tz_localize(None)
    for given in (times, times.astype(str), utc.astype(str) + "Z", utc.astype(str) + ".123456789"):
        cells = with_times(cells_of_frame(pd.DataFrame({"x": given}), "table")["x"])
        assert cells.type == "time"
        assert (cells.values.astype("datetime64[s]") == utc.to_numpy().astype("M8[s]")).all()
    mixed_clocks = ["2020-01-05 10:00", "2020-01-05 10:00+02:00"] * 20
    assert column(mixed_clocks).kind == "yes-no"


def test_what_no_column_can_hold_may_be_dropped_or_taken_as_words():
    rows = range(40)
    for values, message in (
        (pd.period_range("2020-01", periods=40, freq="M"), "'2020-01' in row 0, a Period"),
        (pd.to_timedelta([1, 2] * 20, unit="h"), "type Duration"),
        ([[i % 3] for i in rows], r"'\[0\]' in row 0, a list"),
        ([1, "a"] * 20, "1 in row 0 and 'a' in row 1"),
        ([1.5, np.inf] * 20, "inf in row 1, and numbers must be finite"),
    ):
        frame = pd.DataFrame({"x": values, "y": [0, 1] * 20})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(DataError, match=message) as error:
                schema_of(frame)
            assert "x=drop" in str(error.value)
            found = schema_of(frame, "x=drop")
            assert found.names == ("y",)
            assert list(found.cells_of(frame, "again")) == ["y"]
    odd = pd.DataFrame({"x": [1, "a"] * 20, "y": [0, 1] * 20})
    assert schema_of(odd, "x=category").columns[0].levels == ["1", "a"]


def test_empty_cells_of_every_kind_of_frame_are_empty():
    given = {
        "Int64": pd.array([*range(39), None], dtype="Int64"),
        "Float64": pd.array([0.5] * 39 + [None], dtype="Float64"),
        "boolean": pd.array([True] * 39 + [None], dtype="boolean"),
        "string": pd.array(["a"] * 39 + [None], dtype="string"),
        "object": [pd.NA if i == 39 else "a" for i in range(40)],
        "date": pd.to_datetime(["2020-01-05"] * 39 + [None]),
    }
    for cells in cells_of_frame(pd.DataFrame(given), "table").values():
        assert np.flatnonzero(cells.empty).tolist() == [39]


def test_two_names_that_are_written_alike_are_refused():
    with pytest.raises(DataError, match="two columns that are written '0'"):
        cells_of_frame(pd.DataFrame({0: [1, 2], "0": [3, 4]}), "table")


def test_slips_in_words_are_told():
    assert "'?' among them" in column(["1", "2", "?"] * 20).why
    assert "alike but for case" in column(["Yes", "yes"] * 20).why
    assert column(["b", "a"] * 20).why == "two words"


def test_a_zero_with_a_sign_is_zero():
    found = column([0.0, -0.0, 1.0] * 20)
    assert (found.kind, found.levels) == ("yes-no", ["0", "1"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("agee=drop", "columns names 'agee'"),
        ("age", "write name=word"),
        ("age=normal, age=drop", "'age' twice"),
        ("colour=normal", "'colour' has '.*' in row 0, and is a column of numbers"),
        ("seen=count", "'seen' holds dates"),
        ("age=positive, change=positive", "positive is for positive numbers"),
        ("crp=share", "strictly between 0 and 1"),
        ("age=count", "is a column of counts"),
        ("grade=ordinal(levels=[low, mid])", "levels of 'grade' lack 'high'"),
        ("colour=yes-no", "yes-no is for two"),
        ("age=date", "'age'"),
        ("age=normal(levels=[1, 2])", "levels, which are for category and ordinal"),
    ],
)
def test_what_cannot_be_made_of_a_column_is_refused(columns, message):
    with pytest.raises((DataError, SettingError), match=message):
        schema_of(mixed(), f"id=drop, {columns}")


def test_many_levels_are_refused_whatever_is_said():
    words = [f"w{i}" for i in range(10_000)]
    frame = pd.DataFrame({"w": words, "y": [0, 1] * 5000})
    with pytest.raises(DataError, match=r"10,000 levels, and 1,000 is the most"):
        schema_of(frame, "w=category")
    with pytest.raises(DataError, match="'w'"):
        schema_of(frame)


def test_numbers_become_the_same_cells_again():
    frame = mixed()
    found = data.read(frame, columns=COLUMNS, shares=(1, 0, 0))
    back = found.to_frame("train")
    for name in found.schema.names:
        assert back[name].tolist() == frame[name].tolist(), name
    # On the scale of the model: to float32's digits, levels, counts and days to the last.
    near = found.to_frame(found.train)
    for name in ("stage", "grade", "smoker", "falls", "visits", "seen", "colour"):
        assert near[name].tolist() == frame[name].tolist(), name
    np.testing.assert_allclose(near["age"], frame["age"], rtol=1e-5)
    np.testing.assert_allclose(near["crp"], frame["crp"], rtol=1e-5)


def test_continuous_columns_are_on_a_scale_of_one_by_the_training_rows():
    found = data.read(mixed(), columns=COLUMNS)
    x = {name: found.train[:, d].double() for d, name in enumerate(found.schema.names)}
    for name in ("age", "change", "seen", "at"):
        assert abs(float(x[name].mean())) < 1e-6
        assert float(x[name].std(correction=0)) == pytest.approx(1, abs=1e-6)
    for name in ("crp", "wait"):  # without a shift: they stay positive
        assert float(x[name].min()) > 0
        assert abs(float(x[name].log().mean())) < 1e-6
    for c in found.schema.data:
        if c.kind in ("ordinal", "yes-no", "count", "category", "share"):
            assert (c.location, c.scale) == (0, 1)
    scales = [c.scale for c in found.schema.data]
    assert found.log_jacobian == pytest.approx(-float(np.log(scales).sum()), rel=1e-12)


def test_rounding_is_no_spread():
    """Of ten times 0.1 the standard deviation is not zero in floating point."""
    frame = pd.DataFrame({"x": [0.1] * 10 + [-0.2], "y": [0, 1] * 5 + [1]})
    split = ["train"] * 10 + ["test"]
    found = data.read(frame.assign(s=split), columns="x=real", split_by="s")
    assert (found.schema.data[0].scale, abs(float(found.train[0, 0])) < 1e-9) == (1.0, True)
    assert float(found.test[0, 0]) == pytest.approx(-0.3, rel=1e-6)


def test_units_and_names_of_levels_and_the_order_of_rows_do_not_matter():
    """What the model sees is the same to the bit, and log p(x) moves by the Jacobian."""
    frame = mixed()
    one = data.read(frame, columns=COLUMNS)
    other = frame.assign(
        age=frame["age"] * 1024.0,
        crp=frame["crp"] / 4.0,
        colour=frame["colour"].map({"blue": "bleu", "green": "vert-1", "red": "z"}),
    )
    two = data.read(other, columns=COLUMNS)
    assert torch.equal(one.train, two.train)
    assert torch.equal(one.test, two.test)
    shift = two.log_jacobian - one.log_jacobian
    assert shift == pytest.approx(-np.log(1024.0) + np.log(4.0), rel=1e-12)
    columns = list(frame.columns)[::-1]
    three = data.read(frame[columns], columns=COLUMNS)
    order = [three.schema.names.index(name) for name in one.schema.names]
    assert torch.equal(one.train, three.train[:, order])


def test_covariates_are_numbers_and_one_column_a_level():
    frame = mixed()
    found = data.read(frame, columns="id=drop, age=covariate, seen=covariate", condition=["site"])
    assert found.schema.covariate_names == ("age", "seen", "site=A", "site=B", "site=C")
    given = found.covariates["train"].double()
    assert given.shape == (140, 5)
    assert abs(float(given[:, 0].mean())) < 1e-6
    assert bool((given[:, 2:].sum(1) == 1).all())
    assert "site" not in found.schema.names


def test_a_label_is_a_class_and_no_data():
    found = data.read(mixed(), columns=COLUMNS)
    assert found.levels == ("0", "1")
    assert set(found.labels["train"].tolist()) == {0, 1}
    assert "centre" not in found.schema.names


def test_the_schema_is_shown_and_goes_through_json():
    schema = data.read(mixed(), columns=COLUMNS).schema
    again = Schema.from_config(schema.to_config())
    assert again == schema
    text = str(schema)
    assert "low < mid < high" in text
    assert "2020-01-0" in text
    assert "<table" in schema._repr_html_()
    assert "<table" in data.read(mixed(), columns=COLUMNS)._repr_html_()


def test_rows_are_known_whatever_columns_are_said_to_be():
    frame = mixed()
    one = data.read(frame, columns=COLUMNS)
    said = f"{COLUMNS}, stage=normal, crp=normal".replace(
        "ordinal(levels=[low, mid, high])", "category"
    )
    two = data.read(frame[list(frame.columns)[::-1]], columns=said)
    prints = [d.schema.fingerprint(d.original("test").numpy()) for d in (one, two)]
    np.testing.assert_allclose(*prints, rtol=1e-9)
    assert len(set(prints[0])) == len(one.test)
    other = data.read(frame.assign(colour=frame["colour"].replace("red", "rot")), columns=COLUMNS)
    changed = other.schema.fingerprint(other.original("test").numpy()) != prints[0]
    red = one.to_frame("test")["colour"] == "red"
    assert changed.tolist() == red.tolist()
