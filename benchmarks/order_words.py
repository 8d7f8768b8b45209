"""Words for the 48 actions of the synthetic world: those of a reference, and others that mean the same."""

from typing import Final

# Number of an action -> its words in a reference, and other words. Two persons are "they", or "one" and "the other".
PHRASES: Final[dict[int, tuple[str, str]]] = {
    1: ("drinks water from {thing}", "takes a few sips out of {thing}"),
    2: ("eats a meal", "has something to eat, bite after bite"),
    3: ("brushes the teeth", "cleans the teeth with a toothbrush"),
    4: ("brushes the hair", "combs the hair"),
    5: ("drops {thing}", "lets {thing} fall to the floor"),
    6: ("picks up {thing} from the floor", "bends down and lifts {thing} off the ground"),
    7: ("throws {thing}", "hurls {thing} away"),
    8: ("sits down on a chair", "takes a seat"),
    9: ("stands up from a chair", "rises from a seat"),
    10: ("claps the hands", "applauds"),
    11: ("reads {thing}", "looks through the pages of {thing}"),
    13: ("tears up a sheet of paper", "rips paper into pieces"),
    20: ("puts on a hat", "places a cap on the head"),
    21: ("takes off a hat", "removes a cap from the head"),
    22: ("cheers with both arms in the air", "celebrates with raised arms"),
    23: ("waves with one hand", "greets with a wave of the hand"),
    24: ("kicks {thing}", "strikes {thing} with the foot"),
    26: ("hops on one foot", "bounces on a single leg"),
    27: ("jumps up", "leaps into the air"),
    28: ("makes a phone call", "talks on the telephone"),
    29: ("plays with a phone", "taps on a smartphone"),
    30: ("types on a keyboard", "writes at a computer"),
    32: ("takes a selfie", "takes a photo of their own face"),
    33: ("checks the time on a watch", "looks at a wristwatch"),
    35: ("nods and bows", "bends head and trunk forward in respect"),
    37: ("wipes the face", "rubs the face dry"),
    38: ("salutes", "gives a military greeting, a hand at the brow"),
    40: ("crosses the hands in front to say stop", "signals a stop with crossed arms"),
    43: ("falls to the floor", "tumbles down onto the ground"),
    44: ("touches the head as if it ached", "holds the head in pain"),
    50: ("one person hits the other", "one of them strikes the other with a hand"),
    51: ("one person kicks the other", "one of them strikes the other with a foot"),
    52: ("one person pushes the other", "one of them shoves the other away"),
    53: ("one person pats the other on the back", "one of them gently taps the other's back"),
    55: ("they hug", "they embrace each other"),
    56: ("one person gives something to the other", "one of them hands over an object"),
    58: ("they shake hands", "they greet each other with a handshake"),
    59: ("they walk towards each other", "they approach each other on foot"),
    60: ("they walk apart", "they go away from each other"),
    64: ("bounces a ball", "dribbles a ball on the floor"),
    65: ("swings a tennis racket", "plays a stroke with a racket"),
    80: ("squats down", "goes down into a crouch"),
    97: ("circles the arms", "swings the arms round and round"),
    99: ("runs on the spot", "jogs without leaving the place"),
    101: ("touches the toes crosswise", "reaches with each hand for the opposite foot"),
    112: ("they give each other a high five", "they clap palms high in the air"),
    113: ("they raise their cups and drink", "they toast and take a sip"),
    116: ("one person follows the other", "one of them walks behind the other"),
}

# An action that looks alike, or that has the same words but one.
CLOSE: Final = {
    1: 2, 2: 1, 3: 4, 4: 3, 5: 6, 6: 5, 7: 6, 8: 9, 9: 8, 10: 22, 11: 30, 13: 11, 20: 21, 21: 20, 22: 10, 23: 38,
    24: 7, 26: 27, 27: 26, 28: 29, 29: 28, 30: 11, 32: 28, 33: 37, 35: 80, 37: 44, 38: 23, 40: 10, 43: 80, 44: 37,
    50: 52, 51: 50, 52: 50, 53: 50, 55: 53, 56: 58, 58: 112, 59: 60, 60: 59, 64: 7, 65: 7, 80: 8, 97: 23, 99: 27,
    101: 80, 112: 58, 113: 56, 116: 59,
}  # fmt: skip

# A thing in other words, and another thing that the same sentence could have.
SYNONYMS: Final = {"cup": "mug", "box": "carton"}
OTHER_THINGS: Final = {"cup": "bottle", "bottle": "cup", "ball": "box", "box": "ball", "book": "tablet"}

INVENTIONS: Final = (
    "A dog sleeps in the corner.",
    "A bicycle leans against the wall.",
    "Rain runs down a large window.",
    "A child plays the piano in the background.",
    "An umbrella hangs from the ceiling.",
    "A cat jumps onto the person's shoulder.",
)
PLACES: Final = (
    "It happens outdoors, on a sunny beach with palm trees.",
    "It happens in a busy street between cars and buses.",
    "It happens in a forest, with snow on the ground.",
)
GENERAL: Final = ("Somebody is in a room and does something.", "There is some activity to be seen in this video.")
