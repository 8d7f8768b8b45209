"""`--ping`: whether the judge answers."""

from eval.judges.judge import Judge


def ping(judge: Judge) -> int:
    """Print which weights answer. Returns 0.

    Raises:
        ValueError: none do. The message says what to start.
    """
    info = judge.ping()
    print(f"{info.name} answers (digest {info.digest or 'not told'}, quantisation {info.quantisation or 'not told'})")
    return 0
