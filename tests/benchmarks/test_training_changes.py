from benchmarks.training_changes import CLIPS, TOKENS, WAYS, train, write_data
from ski_lvlm.datasets.instruction_file import read_instructions
from ski_lvlm.lvlm.features import FeatureFolder


def test_every_way_trains_on_the_same_data_of_the_papers_counts(tmp_path):
    first, second = (write_data(tmp_path / name) for name in "ab")
    assert first[0].read_bytes() == second[0].read_bytes()
    features = FeatureFolder(first[1])
    conversations = read_instructions(first[0])
    assert len(conversations) == CLIPS
    for modality, shape in TOKENS.items():
        assert features.load("clip_0", modality).shape == shape
        assert (features.load("clip_0", modality) == FeatureFolder(second[1]).load("clip_0", modality)).all()


def test_a_way_that_is_done_is_read_and_not_trained_again(tmp_path):
    for way in WAYS:
        folder = tmp_path / way.replace(", ", "_").replace(" ", "_")
        folder.mkdir()
        (folder / "result.json").write_text("{}")
        line = '{"loss": %d, "samples_per_second": 2, "useful_share": 0.5, "peak_memory_gb": 3}\n'
        (folder / "metrics.jsonl").write_text("".join(line % loss for loss in (3, 2, 1)))
        figures = train(way, (tmp_path, tmp_path), tmp_path, steps=3)
        assert figures == {
            "way": way,
            "samples_per_second": 2,
            "useful_share": 0.5,
            "peak_memory_gb": 3,
            "losses": [3, 2, 1],
        }
