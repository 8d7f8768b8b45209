"""The sixteen actions of the synthetic set, each a parameterised motion with the number and meaning it has in NTU RGB+D.

Seven pairs share person, room and object and differ in motion alone (`SAME_OBJECT_PAIRS`), so that neither scene nor
object gives the class away. `perform` turns an action number into moving bodies and the object they handle.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from data_curation import props
from data_curation.motion import HEAD, LEFT, RELAXED, RIGHT, Build, Posture, joints, reach, standing, swayed, track
from data_curation.props import Prop

SAME_OBJECT_PAIRS = ((5, 6), (7, 64), (8, 9), (10, 23), (28, 29), (50, 58), (59, 60))
"""Action numbers whose clips share person, room, camera and object; (5, 6), (7, 64), (10, 23), (59, 60) have one
unseen member each."""

TOWARDS_CAMERA = np.pi


@dataclass(frozen=True)
class Take:
    """What differs between two performances of one action.

    `progress` runs from 0 to 1 while the person acts; `acting` is the time since then, in seconds of a person of
    average speed.
    """

    seconds: Float[np.ndarray, " T"]
    acting: Float[np.ndarray, " T"]
    progress: Float[np.ndarray, " T"]
    builds: tuple[Build, ...]
    amplitude: float
    speed: float
    phase: float
    turned: float
    """Radians by which the whole performance is turned on the floor."""

    def swing(self, hertz: float) -> Float[np.ndarray, " T"]:
        """A sine wave of about `hertz`, in this take's tempo and phase."""
        return np.sin(2 * np.pi * hertz * self.speed * self.seconds + self.phase)

    def alone(self) -> Posture:
        """One person in the middle who faces camera 1."""
        posture = standing(len(self.seconds))
        return replace(posture, heading=posture.heading + self.turned)


@dataclass(frozen=True)
class Performance:
    """Bodies (T, 25, 3) and the object, in the room's metres."""

    bodies: tuple[Float[np.ndarray, "T 25 3"], ...]
    prop: Prop | None


def perform(
    action: int, *, builds: Sequence[Build], num_frames: int, fps: float, rng: np.random.Generator
) -> Performance:
    """Act out NTU action number `action` with fresh amplitude, tempo, phase and sway.

    Raises:
        ValueError: the synthetic set has no such action.
    """
    if action not in ACTIONS:
        raise ValueError(f"no motion for action A{action:03d}; the synthetic set has {sorted(ACTIONS)}")
    chosen = ACTIONS[action]
    take = _take(builds=tuple(builds[: chosen.num_persons]), num_frames=num_frames, fps=fps, rng=rng)
    postures = [swayed(posture, seconds=take.seconds, rng=rng) for posture in chosen.move(take)]
    bodies = tuple(joints(posture, build=build) for posture, build in zip(postures, take.builds))
    prop = chosen.prop(props.Holder(take.progress, take.acting, postures[0], bodies[0], take.builds[0]))
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


def _both(left: Float[np.ndarray, "T 3"], right: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 2 3"]:
    return np.stack(np.broadcast_arrays(left, right), axis=1)


def _drink(take: Take) -> list[Posture]:
    """A1: the cup goes from the waist to the mouth, the head tips back, the cup comes down again."""
    held, mouth = (0.0, -0.42, 0.5), (-0.3, 0.14, 0.4)
    right = track(take.progress, [(0, held), (0.3, mouth), (0.75, mouth), (1, held)])
    nod = track(take.progress, [(0.25, 0), (0.42, -0.4), (0.7, -0.4), (0.85, 0)])
    return [replace(take.alone(), hands=_both(RELAXED, right), nod=nod * take.amplitude)]


_CARRYING = (-0.02, -0.42, 0.62)


def _drop(take: Take) -> list[Posture]:
    """A5: both hands hold a box before the belly, open, and it falls; the person looks after it."""
    open_hands = (0.32, -0.3, 0.5)
    hands = track(take.progress, [(0.3, _CARRYING), (0.42, open_hands), (0.65, open_hands), (0.95, RELAXED)])
    nod = track(take.progress, [(0.3, 0.15), (0.55, 0.55), (0.9, 0.5)])
    lean = track(take.progress, [(0.35, 0), (0.6, 0.16), (1, 0.08)])
    return [replace(take.alone(), hands=_both(hands, hands), nod=nod, lean=lean)]


def _pick_up(take: Take) -> list[Posture]:
    """A6: the person bends to a box on the floor, takes it and stands up with it."""
    low = (-0.02, -0.84, 0.42)
    hands = track(take.progress, [(0, RELAXED), (0.38, low), (0.5, low), (0.95, _CARRYING)])
    bent = track(take.progress, [(0.02, 0), (0.4, 1), (0.5, 1), (0.9, 0)])
    pelvis = bent[:, None] * np.array([0, -0.16, -0.14]) * take.builds[0].height
    nod = track(take.progress, [(0, 0.4), (0.4, 0.1), (0.9, 0.15)])
    return [replace(take.alone(), hands=_both(hands, hands), lean=0.95 * bent, pelvis=pelvis, nod=nod)]


_BALL_READY = np.array([-0.12, -0.35, 0.6])


def _throw(take: Take) -> list[Posture]:
    """A7: the ball goes behind the head, is thrown overarm and the arm follows through."""
    back, release, through = (0.35, 0.62, -0.35), (0.0, 0.6, 0.78), (-0.35, -0.45, 0.6)
    right = track(
        take.progress, [(0, _BALL_READY), (0.38, back), (0.48, back), (0.58, release), (0.72, through), (1, RELAXED)]
    )
    left = track(take.progress, [(0, _BALL_READY), (0.35, (0.1, 0.1, 0.85)), (0.55, (0.2, -0.5, 0.1)), (1, RELAXED)])
    twist = track(take.progress, [(0, 0), (0.42, -0.6), (0.62, 0.55), (1, 0)])
    lean = track(take.progress, [(0, 0), (0.42, -0.18), (0.65, 0.3), (1, 0)])
    feet = np.zeros((len(right), 2, 3))
    feet[:, LEFT, 2] = track(take.progress, [(0.2, 0), (0.5, 0.16)])
    return [replace(take.alone(), hands=_both(left, right), twist=twist * take.amplitude, lean=lean, feet=feet)]


def _bounce(take: Take) -> list[Posture]:
    """A64: the hand pumps a ball to the floor and back, again and again."""
    pump = props.bounce_height(take.acting)
    pumping = np.array([0.12, -0.72, 0.5]) + (pump * 0.34)[:, None] * np.array([0.0, 1.0, 0.1])
    right = _BALL_READY + track(take.acting, [(-0.1, 0), (0.33, 1)])[:, None] * (pumping - _BALL_READY)
    left = track(take.progress, [(0, _BALL_READY), (0.2, (0.25, -0.75, 0.3))])
    bent = np.full(len(pump), 0.2)
    pelvis = np.stack([0 * pump, 0 * pump - 0.06, 0 * pump - 0.04], axis=-1)
    return [replace(take.alone(), hands=_both(left, right), lean=bent, nod=bent + 0.1 * pump, pelvis=pelvis)]


def _seated(take: Take, sitting: Float[np.ndarray, " T"], rising: Float[np.ndarray, " T"]) -> list[Posture]:
    height = take.builds[0].height
    seat = np.array([0, props.SEAT_HEIGHT + 0.09 - take.builds[0].standing_pelvis, -0.23 * height])
    lap = np.array([-0.08, -0.5, 0.62])
    hands = RELAXED + sitting[:, None] * (lap - RELAXED)
    lean = 0.75 * rising * take.amplitude
    return [
        replace(take.alone(), pelvis=sitting[:, None] * seat, hands=_both(hands, hands), lean=lean, nod=0.3 * rising)
    ]


def _sit_down(take: Take) -> list[Posture]:
    """A8: from standing before a chair to sitting on it."""
    sitting = track(take.progress, [(0.15, 0), (0.7, 1)])
    return _seated(take, sitting, track(take.progress, [(0.12, 0), (0.4, 1), (0.85, 0)]))


def _stand_up(take: Take) -> list[Posture]:
    """A9: from sitting on a chair to standing before it."""
    sitting = track(take.progress, [(0.25, 1), (0.8, 0)])
    return _seated(take, sitting, track(take.progress, [(0.1, 0), (0.4, 1), (0.8, 0)]))


def _clap(take: Take) -> list[Posture]:
    """A10: the hands meet before the chest, part and meet again."""
    apart = (0.5 - 0.5 * take.swing(1.7)) ** 1.5 * take.amplitude
    hands = np.array([-0.3, -0.26, 0.58]) + apart[:, None] * np.array([0.5, 0.02, -0.06])
    raised = track(take.progress, [(-0.1, 0), (0.08, 1)])[:, None]
    hands = RELAXED + raised * (hands - RELAXED)
    return [replace(take.alone(), hands=_both(hands, hands))]


def _wave(take: Take) -> list[Posture]:
    """A23: one raised hand swings from side to side beside the head."""
    side = take.swing(1.3) * take.amplitude
    right = (
        np.array([0.34, 0.66, 0.2]) + side[:, None] * np.array([0.4, 0.0, 0.0]) - np.abs(side)[:, None] * (0, 0.1, 0)
    )
    raised = track(take.progress, [(-0.1, 0), (0.12, 1)])[:, None]
    return [replace(take.alone(), hands=_both(RELAXED, RELAXED + raised * (right - RELAXED)), roll=0.04 * side)]


def _jump(take: Take) -> list[Posture]:
    """A27: crouch, leap with the arms thrown up, land, again."""
    cycle = (take.seconds * take.speed / 1.3 + take.phase / (2 * np.pi)) % 1
    height = take.builds[0].height
    flight = np.clip((cycle - 0.42) / 0.34, 0, 1)
    lift = 0.19 * height * take.amplitude * 4 * flight * (1 - flight)
    crouch = track(cycle, [(0, 0.1), (0.3, 1), (0.42, 0), (0.76, 0), (0.88, 0.7), (1, 0.1)])
    pelvis = np.zeros((len(cycle), 3))
    pelvis[:, 1], pelvis[:, 2] = lift - 0.13 * height * crouch, -0.06 * height * crouch
    feet = np.zeros((len(cycle), 2, 3))
    feet[..., 1] = lift[:, None]
    back, up = (0.15, -0.8, -0.4), (0.2, 0.92, 0.2)
    hands = track(cycle, [(0, RELAXED), (0.3, back), (0.48, up), (0.7, up), (0.9, RELAXED)])
    return [replace(take.alone(), pelvis=pelvis, feet=feet, hands=_both(hands, hands), lean=0.45 * crouch)]


_PHONE_LOW = (0.02, -0.55, 0.45)


def _phone_call(take: Take) -> list[Posture]:
    """A28: the phone goes to the ear and stays there; the head leans to it."""
    ear = (0.02, 0.14, 0.12)
    right = track(take.progress, [(0, _PHONE_LOW), (0.3, ear)])
    roll = track(take.progress, [(0.2, 0), (0.4, 0.07)])
    left = RELAXED + np.maximum(take.swing(0.5), 0)[:, None] * np.array([0.0, 0.3, 0.3])
    return [replace(take.alone(), hands=_both(left, right), roll=roll, nod=0.08 * take.swing(0.6))]


def _play_with_phone(take: Take) -> list[Posture]:
    """A29: the phone is held before the chest, the other hand taps on it, the head looks down."""
    right = track(take.progress, [(0, _PHONE_LOW), (0.25, (-0.24, -0.22, 0.58))])
    above = np.array([-0.34, -0.2, 0.6]) + np.stack(
        [0.1 * take.swing(0.9), 0.09 * take.swing(2.1), 0 * right[:, 0]], -1
    )
    left = (
        track(take.progress, [(0.1, RELAXED), (0.35, (0, 0, 0))])
        + track(take.progress, [(0.1, 0), (0.35, 1)])[:, None] * above
    )
    nod = track(take.progress, [(0, 0.15), (0.3, 0.5)])
    return [replace(take.alone(), hands=_both(left, right), nod=nod, lean=0.3 * nod)]


def _facing(
    take: Take, distance: Float[np.ndarray, " T"], turn: Float[np.ndarray, " T"] | float = 0.0
) -> list[Posture]:
    """Two persons `distance` metres apart who look at each other, or away by `turn` radians."""
    people = []
    for side, heading in ((-1, np.pi / 2), (1, -np.pi / 2)):
        place = (side * distance / 2)[:, None] * np.array([np.cos(take.turned), -np.sin(take.turned)])
        people.append(
            replace(standing(len(distance)), place=place, heading=0 * distance + heading + take.turned + side * turn)
        )
    return people


def _punch(take: Take) -> list[Posture]:
    """A50: one person strikes the other in the face, twice; the other is thrown back."""
    steady = np.full(len(take.seconds), 0.4 + 0.26 * take.builds[0].height)
    attacker, victim = _facing(take, steady)
    blow = track(take.progress, [(0.14, 0), (0.27, 1), (0.33, 1), (0.48, 0), (0.62, 0), (0.74, 1), (0.8, 1), (0.95, 0)])
    attacker = replace(attacker, twist=0.9 * blow - 0.25, lean=0.16 * blow)
    face = joints(victim, build=take.builds[1])[:, HEAD] - np.array([0, 0.02, 0])
    strike = reach(face, posture=attacker, build=take.builds[0], side=RIGHT)
    guard = np.array([0.1, -0.12, 0.3])
    ready = track(take.progress, [(-0.1, 0), (0.1, 1)])[:, None]
    right = RELAXED + ready * (guard + blow[:, None] * (strike - guard) - RELAXED)
    left = RELAXED + ready * (np.array([-0.1, -0.1, 0.42]) - RELAXED)
    hurt = track(take.progress, [(0.25, 0), (0.33, 1), (0.58, 0.2), (0.72, 0.2), (0.8, 1), (1.1, 0.5)]) * take.amplitude
    lifted = RELAXED + hurt[:, None] * np.array([0.25, 0.3, 0.25])
    victim = replace(
        victim, lean=-0.42 * hurt, nod=-0.35 * hurt, hands=_both(lifted, lifted), pelvis=hurt[:, None] * (0, 0, -0.06)
    )
    return [replace(attacker, hands=_both(left, right)), victim]


def _shake_hands(take: Take) -> list[Posture]:
    """A58: two right hands meet at waist height and pump up and down."""
    height = (take.builds[0].height + take.builds[1].height) / 2
    people = _facing(take, np.full(len(take.seconds), 0.52 * height))
    offered = track(take.progress, [(0, 0), (0.22, 1), (0.85, 1), (1.02, 0)])
    pump = 0.05 * take.amplitude * take.swing(1.8)
    meeting = np.stack([0 * pump, 0.56 * height + pump, 0 * pump], axis=-1)
    shaken = []
    for person, build in zip(people, take.builds):
        person = replace(person, lean=0.1 * offered, twist=0.3 * offered)
        outward = np.concatenate([person.place, 0 * pump[:, None]], axis=1)[:, [0, 2, 1]]
        wrist = reach(meeting + 0.2 * outward, posture=person, build=build, side=RIGHT)
        right = RELAXED + offered[:, None] * (wrist - RELAXED)
        shaken.append(replace(person, hands=_both(RELAXED, right)))
    return shaken


def _walking(take: Take, person: Posture, build: Build, stepping: Float[np.ndarray, " T"]) -> Posture:
    """Legs and arms that swing as fast as the person goes (`stepping`, m/s)."""
    cadence = 2 * np.pi * 0.95 * take.speed * take.seconds + take.phase
    stride = np.clip(np.abs(stepping) / 3.4, 0, 0.26)
    feet = np.zeros((len(stride), 2, 3))
    hands = person.hands.copy()
    for side, sign in ((LEFT, 1), (RIGHT, -1)):
        feet[:, side, 2] = sign * stride * np.sin(cadence)
        feet[:, side, 1] = np.maximum(sign * np.cos(cadence), 0) * stride * 0.5
        hands[:, side, 2] += -sign * 1.7 * stride * np.sin(cadence)
    lowered = np.stack([0 * stride, -0.06 * build.height * stride, 0 * stride], axis=-1)
    return replace(person, feet=feet, hands=hands, pelvis=lowered, lean=0.25 * stride)


def _walk(take: Take, distance: Float[np.ndarray, " T"], turn: Float[np.ndarray, " T"] | float = 0.0) -> list[Posture]:
    stepping = np.gradient(distance / 2, take.seconds)
    return [
        _walking(take, person, build, stepping) for person, build in zip(_facing(take, distance, turn), take.builds)
    ]


def _walk_towards(take: Take) -> list[Posture]:
    """A59: two persons come together."""
    return _walk(take, track(take.progress, [(0, 2.4 * take.amplitude), (1, 0.75)]))


def _walk_apart(take: Take) -> list[Posture]:
    """A60: two persons turn from each other and go."""
    turn = track(take.progress, [(0, 0), (0.3, np.pi)])
    return _walk(take, track(take.progress, [(0.1, 0.75), (1.05, 2.4 * take.amplitude)]), turn)


@dataclass(frozen=True)
class Action:
    """How many persons act, how they move, and which object follows them."""

    num_persons: int
    move: Callable[[Take], list[Posture]]
    prop: props.Handling


ACTIONS = {
    1: Action(1, _drink, props.cup),
    5: Action(1, _drop, props.dropped_box),
    6: Action(1, _pick_up, props.lifted_box),
    7: Action(1, _throw, props.thrown_ball),
    8: Action(1, _sit_down, props.chair),
    9: Action(1, _stand_up, props.chair),
    10: Action(1, _clap, props.nothing),
    23: Action(1, _wave, props.nothing),
    27: Action(1, _jump, props.nothing),
    28: Action(1, _phone_call, props.phone_at_ear),
    29: Action(1, _play_with_phone, props.phone_in_front),
    50: Action(2, _punch, props.nothing),
    58: Action(2, _shake_hands, props.nothing),
    59: Action(2, _walk_towards, props.nothing),
    60: Action(2, _walk_apart, props.nothing),
    64: Action(1, _bounce, props.bounced_ball),
}
"""NTU action number -> motion: drink water, drop, pick up, throw, sit down, stand up, clapping, hand waving, jump up,
phone call, play with phone/tablet, punch/slap, shaking hands, walking towards, walking apart, bounce ball."""
