"""An `Asker` of a test double, and what its replies look like."""

import json

from data_curation.asking.asker import Asker, sender
from data_curation.asking.budget import Budget
from data_curation.asking.reply_log import ReplyLog
from ski_lvlm.servers.client import ChatClient
from ski_lvlm.servers.pace import Pace

CAPTION = "A person is drinking water. The right hand rises to the head and stays there; the legs hardly move."
GOOD = {"kind": "action", "question": "What is being done?", "answer": "The person is drinking water."}
OTHER = {"kind": "motion", "question": "How does the hand move?", "answer": "The right hand rises to the head."}


def reply(*pairs):
    return json.dumps({"pairs": list(pairs)})


def asker_of(url, folder, *, attempts=1, price=None, budget=None, spent=0.0, pace=(None, None), send=None):
    """Asks `openai:llama3.1` at `url`, and keeps the replies in `folder`."""
    client = ChatClient("openai:llama3.1", base_url=f"{url}/v1", attempts=attempts)
    limits = Pace(requests_per_minute=pace[0], tokens_per_minute=pace[1])
    budget = Budget(limit=budget, spent=spent)
    return Asker(client.name, "qa", ReplyLog(folder), budget, price, send or sender(client, limits), client.ping)
