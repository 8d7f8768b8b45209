"""Texts of a model card by the kind of the model: what it is, how it is used, what it cannot do."""

from typing import Any

from ski_lvlm.sharing.kinds import Kind

DESCRIPTIONS = {
    "ski_lvlm": "A language model that answers questions about videos of everyday actions. It reads projected video "
    "tokens. In training it also read tokens of 3D skeletons. Answers need video alone.",
    "ski_video_llm": "A video LLM that answers questions about videos of everyday actions. In training it also read "
    "tokens of 3D skeletons. Answers need video alone.",
    "ski_student": "A model that recognises actions in videos by sentences about them, also actions it was not trained "
    "on. It needs no skeletons.",
    "ski_skeleton_encoder": "An encoder of 3D skeletons, with the linear layer over the classes it was trained on.",
    "ski_skeleton_clip": "An encoder of 3D skeletons aligned with a frozen text encoder, so that it recognises actions "
    "by sentences about them.",
    "ski_skeleton_text": "A frozen or further trained skeleton encoder and a method that compares its features with "
    "texts of actions, also of actions it was not trained on.",
}
_ANSWERING = """import ski_lvlm

model = ski_lvlm.from_pretrained("MODEL")
print(model.generate("clip.mp4", "What is the person doing?"))"""
PYTHON = {
    "ski_lvlm": _ANSWERING,
    "ski_video_llm": _ANSWERING,
    "ski_student": """from pathlib import Path

from ski_lvlm.demo.actions import Namer

student = Namer.load(Path("MODEL"), "student")
print(student.name(Path("clip.mp4"), ["drink water", "stand up"]).probabilities)""",
    "ski_skeleton_encoder": """from ski_lvlm.dual_encoders.skeleton_classifier import SkeletonClassifier

model = SkeletonClassifier.from_pretrained("MODEL")
tokens = model.encoder(skeletons).tokens  # skeletons: [clips, frames, persons, joints, channels]""",
    "ski_skeleton_clip": """from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP

model = SkeletonCLIP.from_pretrained("MODEL")
cosines = model(skeletons, ["a person drinks water"]).similarity  # [clips, frames, persons, joints, channels]""",
    "ski_skeleton_text": """from ski_lvlm.skeleton_text.recogniser import SkeletonTextRecogniser

model = SkeletonTextRecogniser.from_pretrained("MODEL")
scores = model(skeletons, ["drink water", "stand up"]).similarity  # [clips, frames, persons, joints, channels]""",
}
_SKELETON_TEST = "python eval/zero_shot.py --model MODEL --modality skeleton --prepared DIR --split {split} --out OUT"
_FEATURES = "python scripts/extract_features.py --modalities skeleton --prepared DIR --skeleton_encoder MODEL --out OUT"
_CHAT = "python -m ski_lvlm.chat clip.mp4 --model MODEL"
COMMANDS = {
    "ski_lvlm": _CHAT,
    "ski_video_llm": _CHAT,
    "ski_student": 'python eval/zero_shot.py --model MODEL --classes "drink water,stand up" --videos DIR --out OUT',
    "ski_skeleton_encoder": _FEATURES,
    "ski_skeleton_clip": _SKELETON_TEST,
    "ski_skeleton_text": _SKELETON_TEST,
}
_LIMITS = {
    "ski_lvlm": "Answers may be wrong or made up, as those of any language model.",
    "ski_student": "It compares a clip with the classes that it is given, and always names one of them.",
}


def limits_of(kind: Kind, settings: dict[str, Any], *, is_tested: bool) -> list[str]:
    """Return what a reader must know before relying on the model."""
    is_answering = kind.model_type in ("ski_lvlm", "ski_video_llm")
    limits = [_LIMITS["ski_lvlm" if is_answering else "ski_student"]]
    if kind.model_type == "ski_skeleton_encoder":
        limits = []
    if is_answering and not settings.get("lora_rank") and kind.model_type == "ski_video_llm":
        limits.append("It has no adapter, so its answers from video alone are those of the base.")
    if str(settings.get("dataset", "")).startswith("synthetic"):
        limits.append("It was trained on made-up clips. Nothing about real videos follows from its results.")
    limits.append("Recordings of people show few rooms, ages and ways of life. How it does on others is unknown.")
    if not is_tested:
        limits.append("No test of it is known to this card.")
    return limits
