"""Made-up records of a curation run, for the tests of its page."""

AT = "2026-11-26T15:04:05+00:00"


def clip(action, *, performer=1):
    return f"S001C001P{performer:03}R001A{action:03}"


def cropped(**facts):
    made = {"model": "crop-4", "box": [0, 0, 9, 9], "frames": 12, "found_by": "skeleton", "seconds": 0.5}
    return {"status": "done", "at": AT, **made, **facts}


def captioned(caption="A person waves a hand.", **facts):
    made = {
        "model": "m",
        "prompt": "p1",
        "caption": caption,
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "seconds": 1.0,
    }
    return {"status": "done", "at": AT, **made, **facts}


def paired(*pairs, rejects=(), **facts):
    pairs = [dict(zip(("kind", "question", "answer"), pair, strict=True)) for pair in pairs]
    return {"status": "done", "at": AT, "model": "m", "prompt": "p2", "pairs": pairs, "rejects": list(rejects)} | {
        "seconds": 2.0,
        **facts,
    }


def out(reason="it is black", *, status="rejected", **facts):
    return {"status": status, "at": AT, "reason": reason, **facts}


def request(step="qa", *, model="openai:m", dollars=0.25, seconds=1.0, **facts):
    tokens = {"prompt_tokens": 300, "completion_tokens": 40}
    return {"name": clip(1), "step": step, "model": model, **tokens, "dollars": dollars, "seconds": seconds} | {
        "at": AT,
        **facts,
    }


def steps(*, crop=None, caption=None, qa=None):
    """The three steps with their records, each of which gets the name it is under."""
    given = {"crop": crop or {}, "caption": caption or {}, "qa": qa or {}}
    return {
        step: {name: {"name": name, **record} for name, record in records.items()} for step, records in given.items()
    }


def whole_run(actions=(1, 2, 3)):
    """Every clip is done, with one pair."""
    names = [clip(action) for action in actions]
    pair = ("action", "What is done?", "A person waves.")
    return steps(
        crop={name: cropped() for name in names},
        caption={name: captioned() for name in names},
        qa={name: paired(pair) for name in names},
    )
