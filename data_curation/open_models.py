"""The captioner and the question writer that the flags select, with their prices."""

import sys
from argparse import Namespace
from functools import partial

from data_curation.asking.asker import Asker, Send, sender
from data_curation.asking.batches import BatchQueue, open_batches
from data_curation.asking.budget import Budget
from data_curation.asking.prices import BATCH_DISCOUNT, Price, listed_price, parse_price
from data_curation.asking.reply_log import ReplyLog
from data_curation.captioning.captioner import Captioner, CaptionerSettings
from data_curation.captioning.frame_choice import frames_choice
from data_curation.captioning.open_captioner import captioner_kind, open_captioner
from data_curation.captioning.picture_captioners import caption_probe
from data_curation.captioning.vision_pool import Loading
from data_curation.prompts import KINDS, Kind
from data_curation.questions.make_qa import OFFLINE_WRITERS, QaWriter, model_writer, question_probe
from data_curation.steps import CurationRun
from ski_lvlm.servers.client import ChatClient, ChatRequest
from ski_lvlm.servers.pace import Pace


class Models:
    """The models that the flags select. They share the log of replies, the budget and the rate limits."""

    def __init__(self, args: Namespace, run: CurationRun) -> None:
        self._args, self._run = args, run
        self.log = ReplyLog(run.out, shard=run.shard)
        spent = sum(record["dollars"] or 0.0 for record in self.log.records if run.shard.holds(record["name"]))
        share = None if args.budget is None else args.budget / run.shard.count
        self._budget = Budget(limit=share, spent=spent)
        self._pace = Pace(
            requests_per_minute=_part(args.requests_per_minute, run.shard.count),
            tokens_per_minute=_part(args.tokens_per_minute, run.shard.count),
        )

    def captioner(self) -> Captioner:
        """Open the captioner.

        Raises:
            ValueError: there is none of this name, or it cannot be used.
        """
        args, asker = self._args, None
        frames = frames_choice(args.frames)
        if captioner_kind(args.captioner).on_server:
            probe = caption_probe()
            client = self._client(args.captioner, args.caption_base_url or args.base_url, probe)
            asker = self._asker("caption", client, sender(client, self._pace), args.caption_price, probe)
        loading = Loading(args.trust_remote_code, args.revision, args.captioner_python or sys.executable)
        return open_captioner(args.captioner, CaptionerSettings(frames, loading, asker))

    def writer(self) -> tuple[QaWriter, BatchQueue | None]:
        """Open the question writer, and the queue in which its requests wait for batches, if they do.

        Raises:
            ValueError: there is none of this name, or it cannot be used: no key, no server, unknown kinds.
        """
        args, kinds = self._args, _kinds(self._args.kinds)
        if args.qa in OFFLINE_WRITERS:
            return OFFLINE_WRITERS[args.qa](kinds), None
        probe = question_probe(kinds)  # tests before a batch which options the server accepts
        client = self._client(f"openai:{args.qa}" if args.qa.startswith("gpt-") else args.qa, args.base_url, probe)
        if args.batch == "no":
            if waiting := open_batches(self._run.out, model=client.name):
                raise ValueError(
                    f"{len(waiting)} batches of {client.name} are not collected yet, and asking at once would pay for "
                    "their requests twice; run with --batch wait (or submit) first, with the same --shard as before"
                )
            return model_writer(self._asker("qa", client, sender(client, self._pace), args.price, probe), kinds), None
        queue = BatchQueue(
            client,
            self._run.out,
            shard=self._run.shard,
            requests=args.batch_requests,
            poll=args.poll if args.batch == "wait" else None,
        )
        asker = self._asker("qa", client, queue.send, args.price, probe, discount=BATCH_DISCOUNT)
        return model_writer(asker, kinds), queue

    def _client(self, model: str, base_url: str | None, probe: ChatRequest) -> ChatClient:
        client = ChatClient(model, base_url=base_url, attempts=self._args.attempts)
        if not self._args.estimate:
            client.ping(probe)
        return client

    def _asker(
        self, step: str, client: ChatClient, send: Send, price: str | None, probe: ChatRequest, *, discount: float = 1.0
    ) -> Asker:
        tariff = parse_price(price) if price else listed_price(client.name, own_server=not client.is_openai)
        if tariff:
            tariff = Price(tariff.prompt * discount, tariff.completion * discount)
        elif self._args.budget is not None:
            raise ValueError(
                f"--budget needs to know what {client.name} costs; give its --price IN,OUT (or --caption_price), "
                "0,0 if it is free"
            )
        return Asker(client.name, step, self.log, self._budget, tariff, send, partial(client.ping, probe))


def _kinds(text: str) -> tuple[Kind, ...]:
    """Read the kinds of questions, separated by commas.

    >>> _kinds("motion, summary")
    ('summary', 'motion')

    Raises:
        ValueError: an unknown kind, or none.
    """
    names = {kind.strip() for kind in text.split(",") if kind.strip()}
    if not names or not names <= set(KINDS):
        raise ValueError(f"--kinds is {text!r}; expected some of {','.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in names)


def _part(limit: int | None, shards: int) -> int | None:
    return None if limit is None else max(1, limit // shards)
