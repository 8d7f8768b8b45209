"""The captioner and the question writer that the flags select, with their prices."""

import sys
from argparse import Namespace

from data_curation.asking.askers import Askers
from data_curation.asking.batches import BatchQueue, open_batches
from data_curation.asking.prices import BATCH_DISCOUNT
from data_curation.captioning.captioner import Captioner, CaptionerSettings
from data_curation.captioning.frame_choice import frames_choice
from data_curation.captioning.open_captioner import captioner_kind, open_captioner
from data_curation.captioning.picture_captioners import caption_probe
from data_curation.captioning.vision_pool import Loading
from data_curation.prompts import KINDS, Kind
from data_curation.questions.facts_writer import facts_writer
from data_curation.questions.make_qa import OFFLINE_WRITERS, QaWriter, model_writer, question_probe
from data_curation.steps import CurationRun


class Models:
    """The models that the flags select. They share the log of replies, the budget and the rate limits."""

    def __init__(self, args: Namespace, run: CurationRun) -> None:
        self._args, self._run = args, run
        self._askers = Askers(args, run.out, shard=run.shard, is_estimate=args.estimate)
        self.log = self._askers.log

    def captioner(self) -> Captioner:
        """Open the captioner.

        Raises:
            ValueError: there is none of this name, or it cannot be used.
        """
        args, asker = self._args, None
        frames = frames_choice(args.frames)
        if captioner_kind(args.captioner).on_server:
            probe = caption_probe()
            client = self._askers.client(args.captioner, args.caption_base_url or args.base_url, probe)
            asker = self._askers.asker("caption", client, probe, price=args.caption_price, flag="--caption_price")
        loading = Loading(args.trust_remote_code, args.revision, args.captioner_python or sys.executable)
        settings = CaptionerSettings(frames, loading, asker, args.ntu, args.facts_about, args.seed)
        return open_captioner(args.captioner, settings)

    def writer(self) -> tuple[QaWriter, BatchQueue | None]:
        """Open the question writer, and the queue in which its requests wait for batches, if they do.

        Raises:
            ValueError: there is none of this name, or it cannot be used: no key, no server, unknown kinds.
        """
        args, kinds = self._args, _kinds(self._args.kinds)
        if args.qa == "facts":
            return facts_writer(args.ntu, args.facts_about, kinds, seed=args.seed), None
        if args.qa in OFFLINE_WRITERS:
            return OFFLINE_WRITERS[args.qa](kinds), None
        probe = question_probe(kinds)  # tests before a batch which options the server accepts
        model = f"openai:{args.qa}" if args.qa.startswith("gpt-") else args.qa
        client = self._askers.client(model, args.base_url, probe)
        if args.batch == "no":
            if waiting := open_batches(self._run.out, model=client.name):
                raise ValueError(
                    f"{len(waiting)} batches of {client.name} are not collected yet, and asking at once would pay for "
                    "their requests twice; run with --batch wait (or submit) first, with the same --shard as before"
                )
            return model_writer(self._askers.asker("qa", client, probe, price=args.price), kinds), None
        queue = BatchQueue(
            client,
            self._run.out,
            shard=self._run.shard,
            requests=args.batch_requests,
            poll=args.poll if args.batch == "wait" else None,
        )
        asker = self._askers.asker("qa", client, probe, price=args.price, send=queue.send, discount=BATCH_DISCOUNT)
        return model_writer(asker, kinds), queue


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
