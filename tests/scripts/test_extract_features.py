import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.extract_features import clips_in, main, read_names
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, load_skeleton_encoder, save_model
from ski_lvlm.encoders.hyperformer import Hyperformer
from ski_lvlm.encoders.shift_gcn import ShiftGCN
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.encoders.vision_tower import load_vision_tower
from ski_lvlm.lvlm.feature_files import FeatureError
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.skeletons.cleaning import CLEANING
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.packed import packed_writer
from ski_lvlm.skeletons.preprocessing import Preprocessing, interleaved_views, preprocess
from ski_lvlm.storage.files import atomic_path, write_json
from ski_lvlm.storage.shards import Shard, only_process
from ski_lvlm.videos.decoding import read_for_tower, read_video
from tests.cases.command_case import kill_at, run
from tests.cases.lvlm_case import write_instructions
from tests.cases.skeleton_case import motion
from tests.cases.video_case import numbered, write_video
from tests.cases.vision_case import tiny_tower

pytestmark = pytest.mark.slow

CLIPS = [f"S001C001P001R001A{action:03d}" for action in (1, 2, 3, 50)]


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tower")
    tiny_tower(folder)
    return folder


@pytest.fixture(scope="module")
def ntu(tmp_path_factory):
    root = tmp_path_factory.mktemp("ntu")
    for k, clip in enumerate(CLIPS):
        write_video(root / "rgb" / f"{clip}_rgb.avi", numbered(8 + k)[::-1] if k % 2 else numbered(8))
    return root


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    with packed_writer(folder, layout=LAYOUTS["ntu-25"], cleaning=CLEANING, source="test") as writer:
        for clip in CLIPS:
            writer.add(clip, motion(int(clip[-3:]), 1))
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    torch.manual_seed(0)
    network = Hyperformer(layout=LAYOUTS["ntu-25"], num_heads=2, head_dim=12, depth=2, strided=(1, 2))
    card = SkeletonEncoderCard(
        stage="skeleton_pretrain",
        encoder=network.settings,
        preprocessing=Preprocessing().to_json(),
        num_frames=16,
        split="synthetic",
        seen=("drink water",),
    )
    folder = tmp_path_factory.mktemp("encoder")
    save_model(folder, ActionClassifier(network, num_classes=2), card=card)
    return folder


@pytest.fixture(scope="module")
def shift_gcn(tmp_path_factory):
    torch.manual_seed(0)
    network = ShiftGCN(layout=LAYOUTS["ntu-25"], widths=[8, 12], strided=[2])
    card = SkeletonEncoderCard("skeleton_pretrain", network.settings, Preprocessing().to_json(), 8, "synthetic", ())
    folder = tmp_path_factory.mktemp("shift_gcn")
    save_model(folder, ActionClassifier(network, num_classes=2), card=card)
    return folder


def video_flags(ntu, tower, out):
    flags = ["--ntu", ntu, "--vision_tower", tower, "--out", out, "--modalities", "video", "--num_frames", 10]
    return [str(flag) for flag in (*flags, "--workers", 0)]


def skeleton_flags(prepared, encoder, out):
    flags = ["--prepared", prepared, "--skeleton_encoder", encoder, "--out", out, "--modalities", "skeleton"]
    return [str(flag) for flag in (*flags, "--skeleton_tokens", 8, "--workers", 0)]


@pytest.mark.slow
def test_video_tokens_are_the_tower_s_whatever_the_clips_beside_them(ntu, tower, tmp_path):
    assert main([*video_flags(ntu, tower, tmp_path), "--batch_size", "3"]) == 0
    features = FeatureFolder(tmp_path)
    network = load_vision_tower(str(tower), num_frames=10, device="cpu")
    for clip in CLIPS:
        frames = read_video(ntu / "rgb" / f"{clip}_rgb.avi", num_frames=10, size=(28, 28))
        expected = network(frames[None])[0]
        torch.testing.assert_close(features.load(clip, "video"), expected, atol=2e-3, rtol=2e-3)
    assert features.token_count(CLIPS[0], "video") == 8 + 4  # eight frames, none made up
    assert features.token_count(CLIPS[3], "video") == 10 + 4
    features.check_origin("video", network.digest)


def test_skeleton_tokens_are_the_encoder_s(prepared, encoder, tmp_path):
    assert main(skeleton_flags(prepared, encoder, tmp_path)) == 0
    features = FeatureFolder(tmp_path)
    network, preprocessing = load_skeleton_encoder(encoder)
    for clip in CLIPS:
        views = interleaved_views(motion(int(clip[-3:]), 1), num_frames=16, num_views=2, preprocessing=preprocessing)
        with torch.no_grad():
            early, late = (network(torch.from_numpy(view)[None]).tokens[0] for view in views)
        expected = torch.stack([early, late], dim=1).flatten(0, 1)  # in the order of time
        torch.testing.assert_close(features.load(clip, "skeleton"), expected, atol=2e-3, rtol=2e-3)
    entry = features.manifest["skeleton"]
    assert (entry["num_frames"], entry["num_views"], entry["tokens"], entry["width"]) == (16, 2, 8, 24)
    assert entry["preprocessing"] == Preprocessing().to_json()


def test_any_encoder_gives_tokens_from_any_run_that_holds_it(prepared, shift_gcn, tmp_path):
    """Runs of skeleton_text and of distill hold theirs in a sub-folder."""
    assert main(skeleton_flags(prepared, shift_gcn, tmp_path / "tokens")) == 0
    expected = FeatureFolder(tmp_path / "tokens").load(CLIPS[0], "skeleton")
    assert expected.shape == (8, 12) and expected.any()
    for name in ("skeleton_encoder", "skeleton_clip"):
        shutil.copytree(shift_gcn, tmp_path / f"run_{name}" / name)
        assert main(skeleton_flags(prepared, tmp_path / f"run_{name}", tmp_path / f"tokens_{name}")) == 0
        features = FeatureFolder(tmp_path / f"tokens_{name}")
        assert torch.equal(features.load(CLIPS[0], "skeleton"), expected)


def test_one_view_is_the_test_input_of_training(prepared, encoder, tmp_path):
    assert main([*skeleton_flags(prepared, encoder, tmp_path), "--skeleton_tokens", "4"]) == 0
    network, preprocessing = load_skeleton_encoder(encoder)
    skeleton = preprocess(motion(1, 1), num_frames=16, preprocessing=preprocessing)
    with torch.no_grad():
        expected = network(torch.from_numpy(skeleton)[None]).tokens[0]
    torch.testing.assert_close(FeatureFolder(tmp_path).load(CLIPS[0], "skeleton"), expected, atol=2e-3, rtol=2e-3)


def test_another_speed_of_motion_than_in_training_needs_a_flag(prepared, encoder, tmp_path):
    flags = [*skeleton_flags(prepared, encoder, tmp_path), "--skeleton_frames", "32"]
    with pytest.raises(ValueError, match="trained on clips of 16 frames, so it would see motion 2 times slower"):
        main(flags)
    assert main([*flags, "--allow_other_speed"]) == 0
    entry = FeatureFolder(tmp_path).manifest["skeleton"]
    assert (entry["num_frames"], entry["num_views"], entry["tokens"]) == (32, 1, 8)


def test_tokens_that_no_number_of_views_gives_are_refused(prepared, encoder, tmp_path):
    with pytest.raises(ValueError, match="16 frames give 4 tokens a view; choose a multiple of 4, for example 8"):
        main([*skeleton_flags(prepared, encoder, tmp_path), "--skeleton_tokens", "9"])


def test_both_modalities_share_a_folder_and_a_list_of_clips(ntu, tower, prepared, encoder, tmp_path):
    names = tmp_path / "clips.txt"
    names.write_text(f"{CLIPS[1]}\n\n{CLIPS[1]}_rgb.avi\nS009C009P009R001A009\n")
    flags = [*video_flags(ntu, tower, tmp_path / "out"), *skeleton_flags(prepared, encoder, tmp_path / "out")]
    assert main([*flags, "--modalities", "video", "skeleton", "--clips", str(names)]) == 0
    for modality in ("video", "skeleton"):
        assert [f.stem for f in (tmp_path / "out" / modality).iterdir()] == [CLIPS[1]]
    failed = json.loads((tmp_path / "out" / "failed.json").read_text())
    assert list(failed["video"]) == list(failed["skeleton"]) == ["S009C009P009R001A009"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_of_clips_is_read_as_windows_writes_it(tmp_path, encoding):
    (tmp_path / "clips.txt").write_bytes("a\u2028b.mp4\r\n\r\ncafé 1.avi\r\n".encode(encoding))
    assert read_names(tmp_path / "clips.txt") == ["a\u2028b.mp4", "café 1.avi"]


def test_a_list_of_clips_means_what_its_names_mean_everywhere():
    names = ["S1.partA", "cam1/x", "cam2/x", "tree", "tree_pose", CLIPS[0]]
    listed = ["tree_pose.mp4", "./cam2/x_rgb.avi", "S1.partA", f"any/{CLIPS[0]}_rgb.avi", CLIPS[0], "gone_rgb.avi"]
    assert clips_in(names, listed) == ["tree_pose", "cam2/x", "S1.partA", CLIPS[0], "gone"]
    assert clips_in(names, None) == names
    with pytest.raises(ValueError, match="'x' means 2 files: cam1/x, cam2/x"):
        clips_in(names, ["x"])


def test_clips_in_folders_keep_them(ntu, tower, tmp_path):
    for camera in ("cam1", "cam2"):
        (tmp_path / "videos" / camera).mkdir(parents=True)
        (tmp_path / "videos" / camera / "x.avi").symlink_to(ntu / "rgb" / f"{CLIPS[0]}_rgb.avi")
    (tmp_path / "clips.txt").write_text("cam2/x.avi\n")
    flags = [*video_flags(tmp_path / "videos", tower, tmp_path / "out"), "--clips", str(tmp_path / "clips.txt")]
    assert main(flags) == 0
    assert FeatureFolder(tmp_path / "out").has("cam2/x.avi", "video")
    assert not FeatureFolder(tmp_path / "out").has("cam1/x.avi", "video")
    assert main(video_flags(tmp_path / "videos", tower, tmp_path / "out")) == 0
    assert FeatureFolder(tmp_path / "out").has("cam1/x", "video")


def test_a_list_of_clips_may_be_an_instruction_file(ntu, tower, tmp_path):
    write_instructions(tmp_path / "i.json", (CLIPS[2], CLIPS[0], CLIPS[2]))
    assert read_names(tmp_path / "i.json") == [CLIPS[2], CLIPS[0]]
    assert main([*video_flags(ntu, tower, tmp_path / "out"), "--clips", str(tmp_path / "i.json")]) == 0
    assert sorted(f.stem for f in (tmp_path / "out" / "video").iterdir()) == [CLIPS[0], CLIPS[2]]


def test_an_instruction_file_names_clips_of_either_modality_and_others_objects_do_not_matter(tmp_path):
    turns = [{"from": "human", "value": "What?\n<video>\n<pose>\n<object>"}, {"from": "gpt", "value": "So."}]
    record = {"id": "0", "video": "v.pkl", "pose": "s_pose.pkl", "object": "o.pkl", "conversations": turns}
    write_json(tmp_path / "i.json", [record])
    assert read_names(tmp_path / "i.json") == ["v", "s"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("clips.txt", "\n \n", "holds no clip name"),
        ("i.json", "[]", "expected a non-empty list of conversations"),
        ("i.json", '[{"id": "0"}]', "no 'conversations'"),
    ],
)
def test_a_list_without_clips_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_names(tmp_path / name)


def test_the_framing_is_part_of_what_the_features_are(ntu, tower, tmp_path):
    flags = video_flags(ntu, tower, tmp_path)
    main([*flags, "--framing", "centre"])
    features = FeatureFolder(tmp_path)
    assert features.manifest["video"]["framing"] == "centre"
    network = load_vision_tower(str(tower), num_frames=10, device="cpu")
    file = ntu / "rgb" / f"{CLIPS[0]}_rgb.avi"
    expected = network(read_for_tower(file, num_frames=10, side=28, framing="centre")[None])[0]
    torch.testing.assert_close(features.load(CLIPS[0], "video"), expected, atol=2e-3, rtol=2e-3)
    with pytest.raises(FeatureError, match="framing"):
        main([*flags, "--framing", "whole"])


def test_an_unreadable_clip_is_listed_and_the_rest_is_kept(ntu, tower, tmp_path, capsys):
    for file in (ntu / "rgb").iterdir():
        (tmp_path / "rgb").mkdir(exist_ok=True)
        (tmp_path / "rgb" / file.name).symlink_to(file)
    (tmp_path / "rgb" / "S001C001P001R001A099_rgb.avi").write_bytes(b"not a video")
    assert main(video_flags(tmp_path, tower, tmp_path / "out")) == 0
    assert len(list((tmp_path / "out" / "video").iterdir())) == len(CLIPS)
    printed = capsys.readouterr().out
    assert "4 of 5 clips have tokens" in printed and "A099_rgb.avi: cannot be decoded" in printed
    assert list(json.loads((tmp_path / "out" / "failed.json").read_text())["video"]) == ["S001C001P001R001A099"]


def test_no_readable_clip_at_all_is_exit_code_1(tower, tmp_path, capsys):
    (tmp_path / "rgb").mkdir()
    (tmp_path / "rgb" / "a.avi").write_bytes(b"")
    assert main(video_flags(tmp_path, tower, tmp_path / "out")) == 1
    assert "no video features could be extracted" in capsys.readouterr().err


def test_a_skeleton_without_anybody_is_listed(encoder, tmp_path):
    with packed_writer(tmp_path / "prepared", layout=LAYOUTS["ntu-25"], cleaning=CLEANING, source="test") as writer:
        writer.add("empty", np.full((20, 1, 25, 3), np.nan, np.float32))
        writer.add("somebody", motion(1, 1))
    assert main(skeleton_flags(tmp_path / "prepared", encoder, tmp_path / "out")) == 0
    failed = json.loads((tmp_path / "out" / "failed.json").read_text())
    assert list(failed["skeleton"]) == ["empty"] and "nobody" in failed["skeleton"]["empty"]


def test_done_clips_are_skipped_and_other_settings_refused(ntu, tower, tmp_path):
    flags = video_flags(ntu, tower, tmp_path)
    main(flags)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "video").iterdir()}
    assert main(flags) == 0
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "video").iterdir()} == before
    with pytest.raises(ValueError, match="num_frames 10 → 5"):
        main([*flags, "--num_frames", "5"])


def test_another_tower_in_the_same_folder_is_refused(ntu, tower, tmp_path):
    main(video_flags(ntu, tower, tmp_path / "out"))
    tiny_tower(tmp_path / "other", seed=3)
    with pytest.raises(ValueError, match=r"made otherwise \(digest"):
        main(video_flags(ntu, tmp_path / "other", tmp_path / "out"))


def test_skeletons_cleaned_otherwise_than_the_encoder_s_are_refused(encoder, tmp_path):
    with packed_writer(tmp_path / "prepared", layout=LAYOUTS["ntu-25"], cleaning="none", source="test") as writer:
        writer.add("a", motion(1, 1))
    with pytest.raises(ValueError, match="cleaning: .* against 'none'"):
        main(skeleton_flags(tmp_path / "prepared", encoder, tmp_path / "out"))


def test_a_full_disk_stops_the_run_and_the_next_one_goes_on(ntu, tower, tmp_path, monkeypatch):
    files = []

    def until_full(path):
        if path.suffix == ".npy" and len(files) == 2:
            raise OSError(28, "No space left on device")
        files.append(path)
        return atomic_path(path)

    monkeypatch.setattr("ski_lvlm.lvlm.features.atomic_path", until_full)
    with pytest.raises(OSError, match="disk of .* is full"):
        main(video_flags(ntu, tower, tmp_path))
    assert len(list((tmp_path / "video").iterdir())) == 2
    monkeypatch.undo()
    assert main(video_flags(ntu, tower, tmp_path)) == 0
    assert len(list((tmp_path / "video").iterdir())) == len(CLIPS)


@pytest.mark.parametrize(
    ("flags", "missing"), [(["--modalities", "video"], "--ntu"), (["--modalities", "skeleton"], "--prepared")]
)
def test_a_flag_that_a_modality_needs_is_asked_for(flags, missing, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), *flags])
    assert f"needs {missing}" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_from_outside_it_goes_on_and_ends_with_the_same_features(ntu, tower, tmp_path):
    (tmp_path / "rgb").mkdir()
    for k in range(8):
        (tmp_path / "rgb" / f"clip{k:02d}.avi").symlink_to(ntu / "rgb" / f"{CLIPS[k % 4]}_rgb.avi")
    script = Path(__file__).resolve().parents[2] / "scripts" / "extract_features.py"
    flags = [*video_flags(tmp_path, tower, tmp_path / "out"), "--workers", "1", "--batch_size", "1"]
    command = [sys.executable, str(script), *flags]
    kill_at(command, "clip*.npy", 4, folder=tmp_path)
    assert len(list((tmp_path / "out" / "video").glob("clip*.npy"))) == 3
    result = run(command)
    assert result.returncode == 0, result.stderr
    undisturbed = [sys.executable, str(script), *video_flags(tmp_path, tower, tmp_path / "undisturbed")]
    assert run([*undisturbed, "--workers", "1", "--batch_size", "1"]).returncode == 0
    files = sorted(f.name for f in (tmp_path / "out" / "video").glob("[!.]*"))
    assert files == [f"clip{k:02d}.npy" for k in range(8)]
    for name in files:
        resumed, expected = (np.load(tmp_path / run / "video" / name) for run in ("out", "undisturbed"))
        np.testing.assert_array_equal(resumed, expected)


def content(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file() and f.name[0] != "."}


def many(ntu, folder, count=12):
    """Write clips under other names, and one that cannot be read."""
    (folder / "rgb").mkdir(parents=True)
    for k in range(count):
        (folder / "rgb" / f"clip{k:02d}.avi").symlink_to(ntu / "rgb" / f"{CLIPS[k % 4]}_rgb.avi")
    (folder / "rgb" / "torn.avi").write_bytes(b"not a video")
    return folder


@pytest.mark.slow
def test_shards_and_the_run_that_joins_them_leave_what_one_run_leaves(ntu, tower, tmp_path, capsys):
    many(ntu, tmp_path)
    main([*video_flags(tmp_path, tower, tmp_path / "whole"), "--batch_size", "1"])
    flags = [*video_flags(tmp_path, tower, tmp_path / "out"), "--batch_size", "1"]
    for part in ("1/3", "3/3", "3/3", "2/3"):
        assert main([*flags, "--shard", part]) == 0
    assert "the same command without --shard writes failed.json" in capsys.readouterr().out
    parts = [json.loads((tmp_path / "out" / f"failed.{k}-of-3.json").read_text()) for k in (1, 2, 3)]
    assert sum("torn" in part["video"] for part in parts) == 1
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "video").glob("*.npy")}
    assert len(files) == 12
    assert main(flags) == 0
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert all(file.stat().st_mtime_ns == time for file, time in files.items())


@pytest.mark.slow
def test_a_shard_without_clips_is_no_failure(ntu, tower, prepared, encoder, tmp_path):
    flags = [*video_flags(ntu, tower, tmp_path), *skeleton_flags(prepared, encoder, tmp_path)]
    flags += ["--modalities", "video", "skeleton"]
    assert [main([*flags, "--shard", f"{k}/9"]) for k in range(1, 10)] == [0] * 9
    assert [len(list((tmp_path / modality).iterdir())) for modality in ("video", "skeleton")] == [4, 4]


def test_the_same_part_twice_at_once_is_refused_and_another_modality_is_not(ntu, tower, prepared, encoder, tmp_path):
    with only_process(tmp_path / ".locks" / "video", Shard(1, 2)):
        for flags in ([], ["--shard", "1/2"], ["--shard", "2/3"]):
            with pytest.raises(ValueError, match="another process"):
                main([*video_flags(ntu, tower, tmp_path), *flags])
        assert main([*video_flags(ntu, tower, tmp_path), "--shard", "2/2"]) == 0
        assert main(skeleton_flags(prepared, encoder, tmp_path)) == 0


@pytest.mark.slow
def test_several_gpus_by_one_command(ntu, tower, tmp_path, monkeypatch, capfd):
    """Processes on the CPU stand for GPUs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main([*video_flags(ntu, tower, tmp_path / "out"), "--gpus", "2"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert any(line.startswith("[1/2] video: ") for line in lines) and "video: 4 of 4 clips have tokens" in lines
    main(video_flags(ntu, tower, tmp_path / "whole"))
    assert content(tmp_path / "out").keys() == content(tmp_path / "whole").keys()
    features, expected = FeatureFolder(tmp_path / "out"), FeatureFolder(tmp_path / "whole")
    for clip in CLIPS:
        torch.testing.assert_close(features.load(clip, "video"), expected.load(clip, "video"), atol=2e-3, rtol=2e-3)
