from pathlib import Path

import pytest

from ttsrl.codecs.registry import load_codec
from ttsrl.errors import BadInput


def test_an_environment_without_xcodec2_says_which_one_has_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "xcodec2"}')
    with pytest.raises(BadInput, match="--extra xcodec2"):
        load_codec(str(tmp_path))
