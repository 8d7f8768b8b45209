"""Models on servers, as the flags of `build_flags.add_server_flags` ask for them."""

from argparse import Namespace
from functools import partial
from pathlib import Path

from data_curation.asking.asker import Asker, Send, sender
from data_curation.asking.budget import Budget
from data_curation.asking.prices import Price, listed_price, parse_price
from data_curation.asking.reply_log import ReplyLog
from ski_lvlm.servers.client import ChatClient, ChatRequest
from ski_lvlm.servers.pace import Pace
from ski_lvlm.storage.shards import WHOLE, Shard


class Askers:
    """The askers of one run. They share the log of replies, the budget and the rate limits.

    Args:
        args: the flags.
        folder: the folder of the log.
        shard: the part of the work, and of the limits.
        is_estimate: whether servers are left in peace.
    """

    def __init__(self, args: Namespace, folder: Path, *, shard: Shard = WHOLE, is_estimate: bool = False) -> None:
        self._args, self._is_estimate = args, is_estimate
        self.log = ReplyLog(folder, shard=shard)
        spent = sum(record["dollars"] or 0.0 for record in self.log.records if shard.holds(record["name"]))
        share = None if args.budget is None else args.budget / shard.count
        self._budget = Budget(limit=share, spent=spent)
        self._pace = Pace(
            requests_per_minute=_part(args.requests_per_minute, shard.count),
            tokens_per_minute=_part(args.tokens_per_minute, shard.count),
        )

    def client(self, model: str, base_url: str | None, probe: ChatRequest) -> ChatClient:
        """Return a client whose server answers `probe`, a request of the shape of those to come.

        Raises:
            ChatError: it does not answer, or the model's name or address is malformed.
        """
        client = ChatClient(model, base_url=base_url, attempts=self._args.attempts)
        if not self._is_estimate:
            client.ping(probe)
        return client

    def asker(
        self,
        step: str,
        client: ChatClient,
        probe: ChatRequest,
        *,
        price: str | None,
        send: Send | None = None,
        discount: float = 1.0,
        flag: str = "--price",
    ) -> Asker:
        """Return the asker of a step.

        Args:
            step: the step's name in the log.
            client: the model.
            probe: a request of the shape of those to come.
            price: the value of `flag`, or None for the list's price.
            send: sends requests. Default: to the client, one at a time and within the rate limits.
            discount: a factor of the price.
            flag: the flag of the price, for messages.

        Raises:
            ValueError: there is a budget, and the price is not known.
        """
        tariff = parse_price(price) if price else listed_price(client.name, own_server=not client.is_openai)
        if tariff:
            tariff = Price(tariff.prompt * discount, tariff.completion * discount)
        elif self._args.budget is not None:
            raise ValueError(
                f"--budget needs to know what {client.name} costs; give its {flag} IN,OUT, 0,0 if it is free"
            )
        ping = partial(client.ping, probe)
        return Asker(client.name, step, self.log, self._budget, tariff, send or sender(client, self._pace), ping)


def _part(limit: int | None, shards: int) -> int | None:
    return None if limit is None else max(1, limit // shards)
