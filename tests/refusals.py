"""What a check of data sets says of those of a config that are not right."""

import pytest
from mmengine.config import Config

from pinas_mm.data.annotations import check_data_sets
from pinas_mm.errors import UserError


def refusal(config: Config, splits=("train",)) -> str:
    with pytest.raises(UserError) as error:
        check_data_sets(config, splits)
    assert "\n" not in str(error.value)
    return str(error.value)
