"""The captioner that measures motion, without a model."""

import inspect

from data_curation.captioning import action_names, key_joints, kinematics, measured_motion
from data_curation.captioning.captioner import Caption, Captioner, CaptionerSettings, CroppedClip
from data_curation.ledger import Rejected
from data_curation.prompts import prompt_hash


def open_kinematics(name: str, settings: CaptionerSettings) -> Captioner:
    """Return the captioner. It uses no pictures."""
    rules = (action_names, key_joints, kinematics, measured_motion)  # its instructions are its code
    return Captioner(name, prompt_hash(*map(inspect.getsource, rules)), _describe, measures=True)


def _describe(clip: CroppedClip) -> Caption:
    joints = clip.joints()
    try:
        return Caption(kinematics.caption(clip.name, action=clip.action, joints=joints))
    except ValueError as error:
        raise Rejected(str(error)) from error
