"""What a failing LLM server means for a run over many clips: stop, leave this clip out, or try it again next time."""

from collections.abc import Iterator
from contextlib import contextmanager

from data_curation.ledger import Failed, Rejected
from ski_lvlm.chat_client import ChatClient, ChatError, ModelMissing, Refused, ServerNotRunning


@contextmanager
def one_clip(client: ChatClient) -> Iterator[None]:
    """Sort the errors of the requests made inside.

    No server or no model stops the run: no other clip would fare better. A refusal rejects the clip, unless the server
    refuses everything (a wrong key, no quota), which stops the run as well. What may pass is left to the next run.

    Raises:
        ChatError: the run must stop.
        Rejected: the server refuses this clip.
        Failed: the client's patience ran out (busy, slow, half a reply).
    """
    try:
        yield
    except (ServerNotRunning, ModelMissing):
        raise
    except Refused as error:
        client.ping()
        raise Rejected(f"the server refused: {error}") from error
    except ChatError as error:
        raise Failed(f"{type(error).__name__}: {error}") from error
