"""The 12 actions of two persons, each in several ways, as compositions of parts (see `grammar.py`)."""

from data_curation.world.action import Action

PAIRS: dict[int, Action] = {
    # punching/slapping other person
    50: Action((
        "bring both guard; thrust main their face + ~bend back + ~tip back; bring main guard + ~bend level;"
        " thrust main their face + ~bend back + ~tip back; bring both side",
        "wind main out*1.2; swing main their face + ~tip back + ~bend back; bring main side + ~bring main face",
        "bring both guard; thrust main their chest + ~bend bow; bring main guard + ~bend level;"
        " thrust main their chest + ~bend bow; bring both side",
    ), persons=2, apart=0.88),
    # kicking other person
    51: Action((
        "step back 0.1*0.5; kick high + ~bend bow*1.6; stay + ~step back 0.3; stay",
        "kick high + ~bend bow*1.5; kick high + ~bend bow + ~step back 0.2*1.5",
    ), persons=2, apart=0.95),
    # pushing other person
    52: Action((
        "bring both chest; thrust both their chest + ~bend back*1.2; bring both side + ~step back 0.5 + ~bend level",
        "step forward 0.15 + bring both chest*0.8; thrust both their chest; stay + ~step back 0.6 + ~bend back;"
        " bring both side + ~bend level",
    ), persons=2, apart=0.85),
    # pat on back of other person
    53: Action((
        "bring main their back; stroke main forward 4*3; bring main side",
        "step forward 0.1*0.7; bring main their back; stroke main forward 3 + ~tip down*2.5; bring main side",
    ), persons=2, apart=0.78, in_a_row=True),
    # hugging other person
    55: Action((
        "bring both spread + ~bring both spread; step forward 0.36 + ~step forward 0.36 + bring both their back"
        " + ~bring both their back*1.3; stay*2",
        "step forward 0.36 + ~step forward 0.36; bring both their back + ~bring both their back*1.2;"
        " stroke both up 2*2; bring both side + ~bring both side",
    ), persons=2, apart=1.15),
    # giving something to other person
    56: Action((
        "with box both; bring both chest; bring both meeting + ~bring both meeting*1.3; ~take box both*0.5;"
        " bring both side + ~bring both waist*1.3",
        "with cup main; step forward 0.1; bring main meeting + ~bring main meeting*1.3; ~take cup main*0.5;"
        " bring main side + ~bring main waist*1.3",
    ), persons=2, apart=1.2),
    # handshaking
    58: Action((
        "bring main meeting + ~bring main meeting; stroke main up 3 + ~stroke main up 3*2.5;"
        " bring main side + ~bring main side",
        "step forward 0.12 + ~step forward 0.12; bring main meeting + ~bring main meeting;"
        " stroke main up 4 + ~stroke main up 4*3",
    ), persons=2, apart=1.15),
    # walking towards each other
    59: Action((
        "step forward 0.8 + ~step forward 0.8*4",
        "stay*0.5; step forward 0.7 + ~step forward 0.85*3",
    ), persons=2, apart=2.4),
    # walking apart from each other
    60: Action((
        "turn about + ~turn about; step forward 0.75 + ~step forward 0.75*3",
        "step back 0.1 + ~step back 0.1*0.5; turn about + ~turn about; step forward 0.6 + ~step forward 0.7*3",
    ), persons=2, apart=0.9),
    # high-five
    112: Action((
        "wind main raised + ~wind main raised; thrust main high meeting + ~thrust main high meeting;"
        " stay*0.5; bring main side + ~bring main side*1.5",
        "stay*0.5; bring main high meeting + ~bring main high meeting*1.5; stay; bring main side + ~bring main side",
    ), persons=2, apart=1.12),
    # cheers and drink
    113: Action((
        "with cup main + ~with glass main; bring main meeting + ~bring main meeting*1.2; stay*0.5;"
        " bring main mouth + ~bring main mouth; tip back + ~tip back; stay; bring main waist + ~bring main waist",
        "with cup main + ~with glass main; bring main meeting + ~bring main meeting; bring main mouth"
        " + ~bring main mouth; tip back + ~tip back*2.5",
    ), persons=2, apart=1.15),
    # follow other person
    116: Action((
        "step forward 1.4 + ~step forward 1.4*4",
        "~step forward 0.4*0.8; step forward 1.2 + ~step forward 1.0*3; stay*0.6",
    ), persons=2, apart=0.95, in_a_row=True),
}  # fmt: skip
