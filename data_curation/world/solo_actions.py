"""The 36 actions of one person, each in several ways, as compositions of parts (see `grammar.py`)."""

from data_curation.world.action import Action

SOLO: dict[int, Action] = {
    # drink water
    1: Action((
        "with cup main; bring main mouth; tip back; stay*1.5; tip level + bring main waist",
        "set table ahead; set bottle table; bring main table; take bottle main*0.5; bring main mouth; tip back;"
        " stay; tip level + bring main table; put bottle table*0.5",
    )),
    # eat meal/snack
    2: Action((
        "with snack main; bring main mouth; stroke main scrub 3; bring main waist; bring main mouth;"
        " stroke main scrub 3; bring main waist",
        "set table ahead; set snack table; bring main table; take snack main*0.5; bring main mouth;"
        " stroke main scrub 3; bring main waist; bring main mouth; stroke main scrub 3",
        "with bowl other; bring main waist; bring main mouth; bring main waist; bring main mouth; bring main waist;"
        " bring main mouth",
    )),
    # brushing teeth
    3: Action((
        "with toothbrush main; bring main mouth; stroke main scrub 9*4",
        "with toothbrush main; bring main mouth + bend forward; stroke main up 7*4",
    )),
    # brushing hair
    4: Action((
        "with hairbrush main; bring main temple; stroke main comb 3*3; bring main waist",
        "with hairbrush main; bring main temple + tip aside; stroke main comb 4*4",
    )),
    # drop
    5: Action((
        "with box both; stay; bring both wide + release box down + tip down; stay*1.5; bring both side",
        "with cup main; stay*1.5; bring main out + release cup down; tip down; stay*1.5",
        "with ball both; bring both front; bring both wide + release ball down + tip down; stay*2",
    )),
    # pickup
    6: Action((
        "set box floor; bend low + bring both floor*1.3; take box both*0.4; rise + bring both waist*1.6",
        "set ball floor; sink heels + bring main floor*1.3; take ball main*0.4; rise + bring main waist*1.6",
    )),
    # throw
    7: Action((
        "with ball both; wind main back + bring other far*1.3; swing main far + release ball forward; bring both side",
        "with ball main; wind main behind*1.3; swing main far + release ball forward; bring both side",
        "with box both; bring both chest; thrust both far + release box forward; bring both side",
    )),
    # sitting down
    8: Action((
        "set chair behind; stay*0.5; sink seat*2; bring both lap",
        "set chair behind; step back 0.15*0.7; sink seat + bring both lap*2; stay",
    )),
    # standing up
    9: Action((
        "set chair behind; seated; stay*0.8; rise + bring both side*2; stay",
        "set chair behind; seated; bend forward; rise + bring both side*1.6; step forward 0.4",
    )),
    # clapping
    10: Action((
        "bring both apart; stroke both wide 5*4; bring both side",
        "bring both applaud; stroke both wide 6*4",
    )),
    # reading
    11: Action((
        "with book both; bring both front + tip down; stay*2; bring main watch; bring main front; stay",
        "set chair behind; seated; with book both; bring both front + tip down; stay*2; bring main watch;"
        " bring main front; stay",
    )),
    # tear up paper
    13: Action((
        "with paper both; bring both apart + tip down; bring both wide; bring both apart; bring both wide; stay",
        "with paper both; bring both chest + tip down; stroke both type 2*2; bring both wide; bring both chest;"
        " bring both wide",
    )),
    # put on a hat/cap
    20: Action((
        "with hat main; bring main crown + tip down*1.5; put hat head*0.4; tip level; bring main side*1.2; stay",
        "with hat both; stay*0.5; bring both temple*1.5; put hat head*0.4; bring both side*1.3; stay",
    )),
    # take off a hat/cap
    21: Action((
        "set hat head; stay*0.5; bring main crown*1.4; take hat main*0.4; bring main waist*1.4; stay",
        "set hat head; bring both crown + tip down*1.4; take hat both*0.4; bring both waist + tip level*1.4; stay",
    )),
    # cheer up
    22: Action((
        "bring both high; stroke both fist 4*3",
        "bring both high; hop both 2 plain + stroke both side 4*4",
        "bring both spread; bring both high; bring both spread; bring both high; stroke both fist 2*2",
    )),
    # hand waving
    23: Action((
        "bring main raised; stroke main wave 4*4",
        "bring main raised; stroke main wave 3*3; bring main side",
        "bring main high; stroke main wave 3*3; bring main side",
    )),
    # kicking something
    24: Action((
        "set ball floor; step back 0.15*0.6; kick low + release ball away*1.5; stay",
        "set box floor; kick low + release box away*1.5; stay; step forward 0.4",
        "set ball floor; turn aside*0.5; turn back*0.5; kick low + release ball away*1.5; stay",
    )),
    # hopping
    26: Action(("hop one 4*4", "bring both wide*0.5; hop one 3*3.5; stay*0.5")),
    # jump up
    27: Action(("hop both 2*3", "stay*0.5; hop both 1*2; stay*0.5", "stay*0.4; hop both 2*4; bend bow*0.5")),
    # phone call
    28: Action((
        "with phone main; bring main ear*1.3; tip aside + bring other hip; stay*3",
        "with phone main; bring main ear + tip down; stay*3; bring main waist + tip level",
    )),
    # play with phone/tablet
    29: Action((
        "with phone main; bring main front + bring other chest + tip down; stroke other scrub 6*4",
        "with phone both; bring both chest + tip down; stroke both type 7*4",
    )),
    # typing on a keyboard
    30: Action((
        "set desk ahead; set chair behind; seated; bring both table + tip down; stroke both type 9*5; bring both lap",
        "set desk ahead; bring both table + tip down + bend forward; stroke both type 9*5",
    )),
    # taking a selfie
    32: Action((
        "with phone main; bring main camera + tip back*1.3; stay*2; bring main waist + tip level",
        "with phone main; bring main camera + bring other raised*1.3; stay*2.5",
        "with phone main; bring main camera + bring other hip*1.3; stay; tip back; stay",
    )),
    # check time
    33: Action((
        "bring other watch + tip down*1.2; stay*2; bring other side + tip level",
        "bring other watch*1.2; bring main watch + tip down; stay*2; bring both side + tip level",
    )),
    # nod head/bow
    35: Action((
        "bend bow + tip down*1.5; stay*0.7; bend level + tip level*1.5; stay*0.5",
        "tip down + bend forward; tip level + bend level; tip down + bend forward; tip level + bend level",
        "bend bow + tip down; bend level + tip level; bend bow + tip down; bend level + tip level",
    )),
    # wipe face
    37: Action((
        "bring main face; stroke main side 3*3; bring main side",
        "bring both face + tip down; stroke both up 3*3; bring both side + tip level",
    )),
    # salute
    38: Action((
        "bring main brow; stay*3; bring main side",
        "stay*0.5; bring main brow*0.7; stay*2; bring main far*0.7; bring main side",
    )),
    # cross hands in front
    40: Action((
        "bring both crossed*1.2; stay*3; bring both side",
        "bring both far; bring both crossed; stay*2",
        "bring both crossed; bring both wide; bring both crossed; stay",
    )),
    # falling
    43: Action((
        "step back 0.2*0.8; sink side + bring both wide*1.4; stay*1.5",
        "bend forward*0.5; sink back + bring both wide*1.4; stay*1.5",
    )),
    # headache
    44: Action((
        "bring both temple + tip down + bend forward*1.2; stroke both rub 3*3; stay",
        "bring main brow + bend forward + tip down*1.2; stroke main rub 3*3; tip aside",
    )),
    # bounce ball
    64: Action((
        "with ball main; bring main dribble*0.5; release ball bounce 3 + stroke main bounce 3*4",
        "with ball both; bring other side + bring main dribble + bend forward*0.6;"
        " release ball bounce 4 + stroke main bounce 4*5",
    )),
    # tennis bat swing
    65: Action((
        "with racket main; wind main out*1.3; swing main far; bring main waist; stay*0.5",
        "with racket main; turn aside*0.5; wind main back + bring other high; swing main high; turn back*0.8",
        "with racket main; wind main out; swing main far; wind main out; swing main far",
    )),
    # squat down
    80: Action((
        "sink heels + bring both far*1.5; stay; rise + bring both side*1.5",
        "sink heels + bring both floor*1.5; stay*1.5; rise + bring both side",
        "sink heels + bring both far; rise + bring both side; sink heels + bring both far; rise + bring both side",
    )),
    # arm circles
    97: Action(("bring both out; stroke both circle 3*4", "bring both far; stroke both circle 3*4; bring both side")),
    # running on the spot
    99: Action((
        "bring both guard*0.5; hop turns 5 + stroke both pump 5*5",
        "bend forward + bring both guard*0.5; hop turns 6 + stroke both pump 6*5",
    )),
    # cross toe touch
    101: Action((
        "bring both out; bend over + bring main toe*1.2; bend level + bring main out; bend over + bring other toe*1.2;"
        " bend level + bring other out",
        "bend over + bring main toe + bring other high*1.2; bend level + bring both out;"
        " bend over + bring other toe + bring main high*1.2; bend level + bring both out",
    )),
}  # fmt: skip
