"""Replies of the Message API to updates: which record is judged, what is claimed."""

from collections.abc import Iterable
from dataclasses import dataclass

from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from flwr_vdcs.admission import Candidate, EncodedArrays, Update, forwarded_arrays
from flwr_vdcs.errors import quoted
from flwr_vdcs.flower.compatibility import NO_KEYS, MetricKeys

WEIGHT_KEY = "num-examples"
SERIALISATION = "numpy.ndarray"

MAX_LOSS = 1e6
"""Powers of it stay finite where a strategy weighs clients by their loss."""


@dataclass(frozen=True)
class Expected:
    """What is known of a round's replies before they are read.

    Attributes
    ----------
    record
        Name of the record to judge, or None if neither the user nor the messages of the
        round have named one.
    keys
        The keys of the model's arrays, as they were sent out.
    metric_keys
        The metrics by which clients are weighed.
    is_strict
        Whether the strategy raises unless there is exactly one record of each kind,
        and a weight: Flower's own do.
    """

    record: str | None = None
    keys: tuple[str, ...] = ()
    metric_keys: MetricKeys = NO_KEYS
    is_strict: bool = False


class _DefectiveReplyError(Exception):
    """A reply that is wrong by itself."""


def content_of(reply: Message) -> RecordDict:
    """Give what is in a reply; a reply with neither content nor error has nothing."""
    return reply.content if reply.has_content() else RecordDict()


def sent_in(
    message: Message, given: EncodedArrays, record: str | None
) -> tuple[str | None, EncodedArrays]:
    """Find the model in a message, and the name of its record.

    Of several records it is the one named, else the one with the keys that the strategy
    was given; without any, the client starts from what was given.
    """
    records = _encoded_records(message.content)
    if record is not None:
        return record, records.get(record, given)
    alike = [name for name, each in records.items() if each.keys() == given.keys()]
    for name in (*alike, *records):
        return name, records[name]
    return None, given


def read_update(reply: Message, expected: Expected) -> Update:
    """Read a reply to a train message."""
    content = content_of(reply)
    name = judged_record(content, expected)
    arrays = content.array_records[name] if name else ArrayRecord()
    return _read(reply, expected, arrays, kinds=("ArrayRecord", "MetricRecord"))


def read_claims(reply: Message, expected: Expected) -> Update:
    """Read a reply to an evaluate message, of which no arrays are judged."""
    return _read(reply, expected, ArrayRecord(), kinds=("MetricRecord",))


def judged_record(content: RecordDict, expected: Expected) -> str | None:
    """Name the record with a client's model; None if there is none.

    It is the one named, else the one with the model's keys, else the only one.
    """
    records = content.array_records
    if expected.record in records:
        return expected.record
    for name, record in records.items():
        if set(record) == set(expected.keys):
            return str(name)
    return next(iter(records)) if len(records) == 1 else None


def encoded(record: ArrayRecord) -> EncodedArrays:
    """Take the bytes out of an ArrayRecord, without decoding them."""
    return {key: array.data for key, array in record.items()}


def set_arrays(content: RecordDict, name: str, candidate: Candidate) -> None:
    """Replace the arrays of a reply, under the name they came by."""
    arrays = forwarded_arrays(candidate)
    content[name] = ArrayRecord({key: Array(values) for key, values in arrays.items()})


def set_weight(content: RecordDict, keys: MetricKeys, weight: int) -> None:
    """Replace the weight that a reply claims, leaving its other metrics alone."""
    key = keys.weight or WEIGHT_KEY
    for name, metrics in content.metric_records.items():
        if key in metrics:
            content[name] = MetricRecord({**metrics, key: weight})


def _read(
    reply: Message, expected: Expected, arrays: ArrayRecord, kinds: Iterable[str]
) -> Update:
    client_id = str(reply.metadata.src_node_id)
    content, keys = content_of(reply), expected.metric_keys
    weight = _claim(content, keys.weight or WEIGHT_KEY)
    metrics, records = _metrics(content), _records(content)
    defect = ""
    try:
        if expected.is_strict:
            _check_completeness(content, kinds, keys)
        _check_loss(content, keys.loss)
        _check_encoding(arrays)
    except _DefectiveReplyError as error:
        defect = str(error)
    return Update(client_id, encoded(arrays), weight, metrics, records, defect)


def _encoded_records(content: RecordDict) -> dict[str, EncodedArrays]:
    return {name: encoded(record) for name, record in content.array_records.items()}


def _metrics(content: RecordDict) -> dict[str, object]:
    """Give all metrics by name; of several records, with the record's."""
    records = content.metric_records
    if len(records) == 1:
        return dict(next(iter(records.values())))
    return {
        f"{record}/{name}": value
        for record, metrics in records.items()
        for name, value in metrics.items()
    }


def _records(content: RecordDict) -> frozenset[str]:
    """Name the records that may be aggregated, by kind."""
    arrays = {f"ArrayRecord {name}" for name in content.array_records}
    return frozenset(
        arrays | {f"MetricRecord {name}" for name in content.metric_records}
    )


def _claim(content: RecordDict, key: str) -> object:
    """Find a metric in whichever record has it first."""
    found = (
        metrics[key] for metrics in content.metric_records.values() if key in metrics
    )
    return next(found, None)


def _check_completeness(
    content: RecordDict, kinds: Iterable[str], keys: MetricKeys
) -> None:
    """Refuse what makes Flower's own strategies raise."""
    counts = {
        "ArrayRecord": max(1, len(content.array_records)),  # none is no arrays
        "MetricRecord": len(content.metric_records),
    }
    for kind in kinds:
        if counts[kind] != 1:
            raise _DefectiveReplyError(
                f"expected exactly one {kind}, found {counts[kind]}"
            )
    if keys.weight and _claim(content, keys.weight) is None:
        raise _DefectiveReplyError(f"expected the metric {keys.weight!r}, found none")


def _check_loss(content: RecordDict, loss_key: str | None) -> None:
    loss = _claim(content, loss_key) if loss_key else None
    if loss is None:
        return
    if not isinstance(loss, int | float) or not 0 <= loss <= MAX_LOSS:
        raise _DefectiveReplyError(
            f"{loss_key}: expected a number from 0 to {MAX_LOSS:g}, "
            f"found {quoted(loss)}"
        )


def _check_encoding(arrays: ArrayRecord) -> None:
    """Refuse what says of itself that it is not NumPy's, as Flower will not read it."""
    for key, array in arrays.items():
        if array.stype != SERIALISATION:
            raise _DefectiveReplyError(
                f"{quoted(key)}: expected serialisation {SERIALISATION!r}, "
                f"found {quoted(array.stype)}"
            )
