import re

import pytest

from benchmarks.crop_clips import main
from data_curation import synthesize


@pytest.mark.slow
def test_every_kind_of_crop_is_measured_beside_decoding_and_takes_longer(tmp_path, capsys):
    synthesize.main(["--out", str(tmp_path), "--clips", "2", "--workers", "1", "--size", "128x72"])
    capsys.readouterr()
    assert main(["--ntu", str(tmp_path), "--repeats", "3", "--kinds", "static", "fps 10"]) == 0
    printed = capsys.readouterr().out
    assert "2 clips, 128x72" in printed
    shares = dict(re.findall(r"^(.+?)  .*?(\d+)%$", printed, flags=re.MULTILINE))
    assert list(shares) == ["decoding alone", "crop, static", "crop, fps 10"]
    assert shares["decoding alone"] == "100"
    assert 0 < int(shares["crop, static"]) < 100


def test_a_folder_without_pairs_of_files_is_refused(tmp_path):
    (tmp_path / "rgb").mkdir()
    with pytest.raises(ValueError, match="found no video with its .skeleton file"):
        main(["--ntu", str(tmp_path)])
