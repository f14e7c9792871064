"""What is wrong with a request, in words."""

from __future__ import annotations

import msgspec
import pytest

from etlmon.contract.query import Page
from etlmon.contract.words import in_words


def test_msgspecs_words_become_a_sentence() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"limit": 0}, Page)
    assert in_words(caught.value) == "limit: Expected int >= 1."
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert([], Page)
    assert in_words(caught.value) == "Expected object, got array."
