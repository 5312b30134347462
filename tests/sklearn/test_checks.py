"""Every check that scikit-learn has for estimators, and none is expected to fail."""

import os
import subprocess
import sys

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from tests.cases import a_few_always
from tests.sklearn.cases import ESTIMATORS, OF_CODES, OF_HOLES, OF_OBJECTS

#: Checks that ``parametrize_with_checks`` leaves to scikit-learn's own tests.
MORE = [
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_inplace_ensure_writeable",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


@parametrize_with_checks([*ESTIMATORS, OF_HOLES[0]])
def test_check(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(OF_HOLES[1:])
def test_check_of_holes(estimator, check):
    check(estimator)


# A check that a frame and its array give the same gives both to one estimator.
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
@a_few_always("name", MORE, [name for name in MORE if "global" not in name])
@pytest.mark.parametrize("estimator", [*ESTIMATORS, OF_HOLES[0]], ids=lambda e: type(e).__name__)
def test_one_more_check(estimator, name):
    vars(estimator_checks)[name](type(estimator).__name__, estimator)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [OF_OBJECTS, OF_CODES], ids=["objects", "codes"])
def test_every_check_with_other_settings(estimator):
    for found in check_estimator(estimator, on_skip=None):
        assert found["status"] == "passed" or "array_api" in found["check_name"], found


@pytest.mark.slow
def test_checks_that_need_a_setting_of_the_process():
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", __file__, "-k", "test_check and array_api"],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
    )
    assert f"{len(ESTIMATORS) + len(OF_HOLES)} passed" in ended.stdout, ended.stdout
    assert "skipped" not in ended.stdout
