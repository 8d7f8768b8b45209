"""The sixteen actions of the synthetic set, each a parameterised motion for an action of NTU RGB+D.

Seven pairs share person, room and object and differ only in motion (`SAME_OBJECT_PAIRS`), so that neither scene nor
object reveals the class. `perform` turns an action number into moving bodies and a handled object.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from data_curation.synthetic import pair_motions, props, solo_motions
from data_curation.synthetic.motion import Build, Posture, joints, swayed
from data_curation.synthetic.props import Prop
from data_curation.synthetic.take import Take

SAME_OBJECT_PAIRS = ((5, 6), (7, 64), (8, 9), (10, 23), (28, 29), (50, 58), (59, 60))
"""Action numbers whose clips share person, room, camera and object; one of each of (5, 6), (7, 64), (10, 23) and
(59, 60) is unseen in training."""


@dataclass(frozen=True)
class Action:
    """The number of actors, their motion, and the object that follows them."""

    num_persons: int
    move: Callable[[Take], list[Posture]]
    prop: props.Handling


ACTIONS = {
    1: Action(1, solo_motions.drink, props.cup),
    5: Action(1, solo_motions.drop, props.dropped_box),
    6: Action(1, solo_motions.pick_up, props.lifted_box),
    7: Action(1, solo_motions.throw, props.thrown_ball),
    8: Action(1, solo_motions.sit_down, props.chair),
    9: Action(1, solo_motions.stand_up, props.chair),
    10: Action(1, solo_motions.clap, props.nothing),
    23: Action(1, solo_motions.wave, props.nothing),
    27: Action(1, solo_motions.jump, props.nothing),
    28: Action(1, solo_motions.phone_call, props.phone_at_ear),
    29: Action(1, solo_motions.play_with_phone, props.phone_in_front),
    50: Action(2, pair_motions.punch, props.nothing),
    58: Action(2, pair_motions.shake_hands, props.nothing),
    59: Action(2, pair_motions.walk_towards, props.nothing),
    60: Action(2, pair_motions.walk_apart, props.nothing),
    64: Action(1, solo_motions.bounce, props.bounced_ball),
}
"""NTU action number -> motion: drink water, drop, pick up, throw, sit down, stand up, clapping, hand waving, jump up,
phone call, play with phone/tablet, punch/slap, shaking hands, walking towards, walking apart, bounce ball."""


@dataclass(frozen=True)
class Performance:
    """Bodies (T, 25, 3) and the object, in the room's metres."""

    bodies: tuple[Float[np.ndarray, "T 25 3"], ...]
    prop: Prop | None


def perform(
    action: int, *, builds: Sequence[Build], num_frames: int, fps: float, rng: np.random.Generator
) -> Performance:
    """Perform an NTU action with random amplitude, tempo, phase and sway.

    Raises:
        ValueError: the synthetic set has no such action.
    """
    if action not in ACTIONS:
        raise ValueError(f"no motion for action A{action:03d}; the synthetic set has {sorted(ACTIONS)}")
    motion = ACTIONS[action]
    take = _take(builds=tuple(builds[: motion.num_persons]), num_frames=num_frames, fps=fps, rng=rng)
    postures = [swayed(posture, seconds=take.seconds, rng=rng) for posture in motion.move(take)]
    bodies = tuple(joints(posture, build=build) for posture, build in zip(postures, take.builds))
    prop = motion.prop(props.Holder(take.progress, take.acting, postures[0], bodies[0], take.builds[0]))
    return Performance(bodies=bodies, prop=prop)


def _take(*, builds: tuple[Build, ...], num_frames: int, fps: float, rng: np.random.Generator) -> Take:
    speed = rng.uniform(0.9, 1.25)
    start = rng.uniform(0.04, 0.16)
    share = np.linspace(0, 1, num_frames)
    return Take(
        seconds=np.arange(num_frames) / fps,
        acting=(share - start) * num_frames / fps * speed,
        progress=(share - start) * speed / 0.82,
        builds=builds,
        amplitude=rng.uniform(0.9, 1.12),
        speed=speed,
        phase=rng.uniform(0, 2 * np.pi),
        turned=rng.normal(0, 0.16),
    )
