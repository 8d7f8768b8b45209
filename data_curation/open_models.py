"""From a run's flags to those who caption its clips and write its pairs, ready to work and with a price."""

from argparse import Namespace
from functools import partial

from data_curation.asking.asker import Asker, Send, sender
from data_curation.asking.batches import BatchDesk, open_batches
from data_curation.asking.prices import BATCH_DISCOUNT, Price, listed_price, parse_price
from data_curation.asking.purse import Purse
from data_curation.asking.reply_log import ReplyLog
from data_curation.captioning.caption import Captioner, caption_probe, load_captioner
from data_curation.prompts import KINDS, Kind
from data_curation.questions.make_qa import QaWriter, model_writer, question_probe, template_writer
from data_curation.steps import Run
from ski_lvlm.servers.client import ChatClient, ChatRequest
from ski_lvlm.servers.pace import Pace

_SERVERS = ("openai:", "ollama:")


class Models:
    """Opens the models that the flags name; they share the log of replies, the budget and the pace."""

    def __init__(self, args: Namespace, run: Run) -> None:
        self._args, self._run = args, run
        self.log = ReplyLog(run.out, shard=run.shard)
        spent = sum(record["dollars"] or 0.0 for record in self.log.records if run.shard.holds(record["name"]))
        share = None if args.budget is None else args.budget / run.shard.count
        self._purse = Purse(budget=share, spent=spent)
        self._pace = Pace(
            requests_per_minute=_part(args.requests_per_minute, run.shard.count),
            tokens_per_minute=_part(args.tokens_per_minute, run.shard.count),
        )

    def captioner(self) -> Captioner:
        """The captioner.

        Raises:
            ValueError: there is none of this name, or it cannot be used.
        """
        args, asker = self._args, None
        if args.captioner.startswith(_SERVERS):
            probe = caption_probe()
            client = self._client(args.captioner, args.caption_base_url or args.base_url, probe)
            asker = self._asker("caption", client, sender(client, self._pace), args.caption_price, probe)
        return load_captioner(
            args.captioner,
            asker=asker,
            trust_remote_code=args.trust_remote_code,
            revision=args.revision,
            frames=args.frames,
            captioner_python=args.captioner_python,
        )

    def writer(self) -> tuple[QaWriter, BatchDesk | None]:
        """The question writer, and the desk where its requests wait for batches, if they do.

        Raises:
            ValueError: there is none of this name, or it cannot be used: no key, server not running, unknown kinds.
        """
        args, kinds = self._args, _kinds(self._args.kinds)
        if args.qa == "template":
            return template_writer(kinds), None
        probe = question_probe(kinds)  # a batch cannot try what the server takes, so it is learnt before
        client = self._client(f"openai:{args.qa}" if args.qa.startswith("gpt-") else args.qa, args.base_url, probe)
        if args.batch == "no":
            if waiting := open_batches(self._run.out, model=client.name):
                raise ValueError(
                    f"{len(waiting)} batches of {client.name} are not collected yet, and asking at once would pay for "
                    "their requests twice; run with --batch wait (or submit) first, with the same --shard as before"
                )
            return model_writer(self._asker("qa", client, sender(client, self._pace), args.price, probe), kinds), None
        desk = BatchDesk(
            client,
            self._run.out,
            shard=self._run.shard,
            requests=args.batch_requests,
            poll=args.poll if args.batch == "wait" else None,
        )
        asker = self._asker("qa", client, desk.send, args.price, probe, discount=BATCH_DISCOUNT)
        return model_writer(asker, kinds), desk

    def _client(self, model: str, base_url: str | None, probe: ChatRequest) -> ChatClient:
        client = ChatClient(model, base_url=base_url, attempts=self._args.attempts)
        if not self._args.estimate:
            client.ping(probe)
        return client

    def _asker(
        self, step: str, client: ChatClient, send: Send, price: str | None, probe: ChatRequest, *, discount: float = 1.0
    ) -> Asker:
        known = parse_price(price) if price else listed_price(client.name, own_server=not client.is_openai)
        if known:
            known = Price(known.prompt * discount, known.completion * discount)
        elif self._args.budget is not None:
            raise ValueError(
                f"--budget needs to know what {client.name} costs; give its --price IN,OUT (or --caption_price), "
                "0,0 if it is free"
            )
        return Asker(client.name, step, self.log, self._purse, known, send, partial(client.ping, probe))


def _kinds(text: str) -> tuple[Kind, ...]:
    """Read the kinds of questions, separated by commas.

    >>> _kinds("motion, summary")
    ('summary', 'motion')

    Raises:
        ValueError: an unknown kind, or none.
    """
    named = {kind.strip() for kind in text.split(",") if kind.strip()}
    if not named or not named <= set(KINDS):
        raise ValueError(f"--kinds is {text!r}; expected some of {','.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in named)


def _part(limit: int | None, shards: int) -> int | None:
    return None if limit is None else max(1, limit // shards)
