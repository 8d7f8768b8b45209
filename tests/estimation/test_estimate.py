import numpy as np
import pytest

from ski_lvlm.estimation.estimate import estimate_clip
from ski_lvlm.estimation.estimate_folder import EstimateFolder
from ski_lvlm.estimation.loading import load_estimator
from ski_lvlm.estimation.tracks import Tracks, two_actors
from ski_lvlm.videos.folder import VideoClip, VideoError
from ski_lvlm.videos.timeline import Span
from tests.cases.estimation_case import RedEstimator, red_video


def box(frames, *, left, total=40):
    boxes = np.full((total, 4), np.nan)
    boxes[frames.start : frames.stop] = left, 0.2, left + 0.1, 0.8
    return boxes


def present(boxes):
    return [np.flatnonzero(~np.isnan(actor[:, 0])).tolist() for actor in boxes]


def test_who_comes_back_is_the_same_actor_and_who_is_there_meanwhile_another():
    tracks = Tracks([box(range(15), left=0.1), box(range(20, 40), left=0.2), box(range(5, 30), left=0.7)], 8, 2)
    first, second = two_actors(tracks, num_frames=40)
    assert present([first]) == [[*range(17), *range(18, 40)]]  # each is held for two frames
    assert first[3, 0] == 0.1 and first[30, 0] == 0.2
    assert present([second]) == [list(range(3, 32))]


def test_a_third_person_at_the_same_time_is_left_out():
    tracks = Tracks([box(range(40), left=x) for x in (0.1, 0.4, 0.7)], 8, 2)
    assert two_actors(tracks, num_frames=40)[:, 0, 0].tolist() == [0.1, 0.4]
    assert two_actors(Tracks([], 8, 2), num_frames=40).shape == (0, 40, 4)


def test_two_persons_are_two_and_absent_where_they_are(tmp_path):
    clip = VideoClip(red_video(tmp_path / "two.mp4", persons=(range(30), range(12, 30))))
    joints, confidence, places = estimate_clip(clip, RedEstimator())
    assert joints.shape == (30, 2, 33, 3) and confidence.shape == (30, 2, 33)
    assert not np.isnan(joints[:, 0]).any()
    assert np.isnan(joints[:5, 1]).all() and not np.isnan(joints[15:, 1]).any()
    np.testing.assert_allclose(places[20, :, 0, 0], [30 / 160, 120 / 160], atol=0.02)


def test_nobody_is_nan_and_the_estimator_is_not_asked(tmp_path):
    estimator = RedEstimator()
    estimate = estimate_clip(VideoClip(red_video(tmp_path / "empty.mp4", persons=())), estimator)
    assert estimate.joints.shape == (30, 1, 33, 3) and np.isnan(estimate.joints).all() and not estimator.num_frames


def test_one_frame_is_enough(tmp_path):
    clip = VideoClip(red_video(tmp_path / "one.mp4", persons=(range(1),), frames=1))
    assert not np.isnan(estimate_clip(clip, RedEstimator()).joints).any()


@pytest.mark.parametrize(("stride", "count"), [(1, 15), (4, 4)])
def test_a_stretch_of_a_recording_has_its_own_frames(tmp_path, stride, count):
    clip = VideoClip(red_video(tmp_path / "long.mp4"), Span(0.5, 1.0))
    estimate = estimate_clip(clip, RedEstimator(), stride=stride)
    assert len(estimate.joints) == count and not np.isnan(estimate.joints).any()


def test_an_unreadable_video_is_not_nobody(tmp_path):
    (tmp_path / "noise.mp4").write_bytes(b"noise" * 99)
    with pytest.raises(VideoError, match="noise"):
        estimate_clip(VideoClip(tmp_path / "noise.mp4"), RedEstimator())


def stored(tmp_path, video, **changes):
    folder = EstimateFolder(
        tmp_path / "estimates", **{"estimator": "e", "layout": "blazepose-33", "stride": 1} | changes
    )
    folder.save("class/müller 1", estimate_clip(VideoClip(video), RedEstimator()), seconds=0.5)
    return folder


def test_unsure_joints_are_absent_and_frames_without_anybody_left_out(tmp_path):
    folder = stored(tmp_path, red_video(tmp_path / "x.mp4", persons=(range(15),)))
    joints, counts = folder.joints("class/müller 1", min_confidence=0.5)
    assert counts.frames == 30 and 15 <= counts.with_person == len(joints) < 25 and counts.persons == 1
    assert np.isnan(joints[:, 0, 15]).all() and np.isnan(joints).any(axis=-1).sum() == len(joints)
    assert counts.absent_joints == pytest.approx(1 / 33) and counts.seconds == 0.5
    assert not np.isnan(folder.joints("class/müller 1", min_confidence=0.05)[0]).any()
    with pytest.raises(ValueError, match="nobody was found in its 30 frames"):
        folder.joints("class/müller 1", min_confidence=0.95)


def test_a_torn_estimate_is_made_again_and_other_settings_are_refused(tmp_path):
    folder = stored(tmp_path, red_video(tmp_path / "x.mp4"))
    assert folder.has("class/müller 1") and not folder.has("other")
    file = tmp_path / "estimates" / "class" / "müller 1.npz"
    file.write_bytes(file.read_bytes()[:-40])
    assert not folder.has("class/müller 1")
    file.write_bytes(b"")
    assert not folder.has("class/müller 1")
    with pytest.raises(ValueError, match="holds estimates of other settings .*stride 1, not 2"):
        stored(tmp_path, tmp_path / "x.mp4", stride=2)


@pytest.mark.parametrize("name", ["openpose", "vitpose", "vitpose:", "blazepose:full"])
def test_an_unknown_estimator_is_refused(name):
    with pytest.raises(ValueError, match="unknown estimator .*expected blazepose, or vitpose:ID"):
        load_estimator(name)
