"""Rows of an instruction set in each of its splits."""

from data_curation.results.dataset_rows import DatasetRow

FACTS = {"captioner": "kinematics", "question writer": "template", "prompts": "0123456789ab"}


def row(subject=1, action=1, number=0, **changes):
    clip = f"S001C001P{subject:03}R001A{action:03}"
    texts = {"question": "What is the person doing?", "answer": "Drinking water.", "caption": "A person drinks water."}
    made = DatasetRow(f"{clip}_{number}", clip, subject, action, "drink water", "action", **texts, has_skeleton=True)
    return made._replace(**changes)


SPLITS = {
    "train": [row(), row(number=1, question="¿Qué\n| \u2028 <b>", has_skeleton=False)],
    "validation": [row()._replace(id="own", clip="kitchen_1", subject=None, action=None, action_name=None)],
    "test": [row(subject=3, question_1="Which action?", question_2="What is done?")],
    "test_unseen": [row(subject=3, action=10)],
}
