import numpy as np
import pytest
import torch

from ski_lvlm.estimation.detector import load_detector

pytestmark = pytest.mark.slow

FRAMES = np.random.default_rng(0).integers(0, 255, (10, 36, 64, 3), dtype=np.uint8)


def save_yolos(folder, *, labels, person_bias):
    """A tiny random YOLOS whose every answer is class 1, so surely as the bias says."""
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

    torch.manual_seed(0)
    network = YolosForObjectDetection(
        YolosConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=[32, 32],
            num_detection_tokens=3,
            id2label=labels,
            use_mid_position_embeddings=False,
        )
    )
    final = network.class_labels_classifier.layers[-1]
    torch.nn.init.zeros_(final.weight)
    torch.nn.init.zeros_(final.bias)
    final.bias.data[1] = person_bias
    network.save_pretrained(folder)
    YolosImageProcessor(size={"shortest_edge": 32, "longest_edge": 64}).save_pretrained(folder)
    return str(folder)


def save_rt_detr(folder):
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor, RTDetrResNetConfig

    torch.manual_seed(0)
    backbone = RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], out_features=["stage2", "stage3", "stage4"]
    )
    config = RTDetrConfig(
        backbone_config=backbone,
        use_timm_backbone=False,
        encoder_hidden_dim=16,
        encoder_in_channels=[8, 8, 8],
        feat_strides=[8, 16, 32],
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        d_model=16,
        num_queries=5,
        decoder_in_channels=[16, 16, 16],
        decoder_ffn_dim=16,
        decoder_layers=1,
        decoder_attention_heads=2,
        id2label={0: "person", 1: "chair"},
    )
    RTDetrForObjectDetection(config).save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return str(folder)


LABELS = {0: "chair", 1: "Person", 2: "cup"}


def test_persons_are_found_in_pixels_of_the_frames_and_other_things_are_not(tmp_path):
    detector = load_detector(save_yolos(tmp_path / "people", labels=LABELS, person_bias=9.0))
    found = detector(FRAMES)
    assert len(found) == len(FRAMES)  # more than one batch
    for boxes, scores in found:
        assert boxes.shape == (3, 4) and (scores > 0.9).all()
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        assert (centre > 0).all() and (centre < [64, 36]).all() and centre[:, 0].max() > 8  # no shares, no other scale
    things = {0: "chair", 1: "table", 2: "person"}
    detector = load_detector(save_yolos(tmp_path / "things", labels=things, person_bias=9.0))
    assert all(len(each.boxes) == 0 for each in detector(FRAMES))


def test_what_the_detector_is_not_sure_of_is_nobody(tmp_path):
    detector = load_detector(save_yolos(tmp_path, labels=LABELS, person_bias=-9.0))
    assert all(len(each.boxes) == 0 for each in detector(FRAMES))


def test_the_record_tells_other_weights_under_the_same_name(tmp_path):
    first = load_detector(save_yolos(tmp_path / "yolos", labels=LABELS, person_bias=9.0)).model
    again = load_detector(str(tmp_path / "yolos")).model
    other = load_detector(save_yolos(tmp_path / "yolos", labels=LABELS, person_bias=1.0)).model
    assert first == again != other and str(tmp_path / "yolos") in first


@pytest.mark.slow
def test_rt_detr_loads_and_runs(tmp_path):
    detector = load_detector(save_rt_detr(tmp_path))
    assert len(detector(FRAMES[:2])) == 2


def test_a_detector_that_does_not_know_persons_is_refused(tmp_path):
    folder = save_yolos(tmp_path, labels={0: "cat", 1: "dog"}, person_bias=0.0)
    with pytest.raises(ValueError, match="knows 2 classes and no 'person'; choose one trained on COCO"):
        load_detector(folder)


@pytest.mark.parametrize("content", [None, "{}", '{"model_type": "bert"}'])
def test_what_is_no_detector_is_refused_in_one_line(tmp_path, content):
    folder = tmp_path / "model"
    if content:
        folder.mkdir()
        (folder / "config.json").write_text(content)
    with pytest.raises(ValueError, match="cannot be loaded .* expected blazepose, or the hub id") as refused:
        load_detector(str(folder))
    assert "\n" not in str(refused.value)
