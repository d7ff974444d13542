"""Keys to names: which array of the model is meant by a key, or by a place in a list.

Wrappers put words in front of the names that a model has (``DataParallel``,
``torch.compile``, Opacus), and peft leaves the name of an adapter out of what it saves.
Lists have no names at all: what people send as one is the whole ``state_dict``, or what
is left of it without some kind of array.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from torch import Size, nn
from torch.nn.modules.batchnorm import _NormBase

from flwr_vdcs.admission.npy import as_real

LEFT_OUT = frozenset({"module", "_orig_mod", "_module", "default", "modules_to_save"})
"""Parts of names that wrappers add, or leave out."""

MAGNITUDE = "lora_magnitude_vector"
"""The lengths of DoRA, which peft saves without the word ``weight`` behind."""

COUNTER = "num_batches_tracked"

NORMALISATION = (_NormBase, nn.GroupNorm, nn.LayerNorm)

Shapes = Sequence[Size]


def names_by_key(
    keys: Collection[str], names: Collection[str]
) -> dict[str, str] | None:
    """Find the name that is meant by each key, if all of them mean different ones."""
    known = set(names)
    if known.issuperset(keys):
        return {key: key for key in keys}
    by_short = _short_names(names)
    found = {key: key if key in known else by_short.get(_short(key)) for key in keys}
    meant = {key: name for key, name in found.items() if name is not None}
    are_all = len(meant) == len(keys) == len(set(meant.values()))
    return meant if are_all else None


def names_by_place(shapes: Shapes, model: nn.Module) -> tuple[str, ...] | None:
    """Find out which of the model's arrays a list holds, by their shapes as real ones.

    The usual lists are tried first, then the first or last layers. Otherwise arrays may
    have been left out anywhere, as long as the shapes tell which.
    """
    own = {name: as_real(array).shape for name, array in model.state_dict().items()}

    def fits(names: tuple[str, ...]) -> bool:
        return [own[name] for name in names] == list(shapes)

    usual = next(filter(fits, _usual_lists(model)), None)
    if usual is not None:
        return usual
    parts = [*set(filter(fits, _first_and_last(len(shapes), model)))]
    return parts[0] if len(parts) == 1 else _only_subsequence(shapes, own)


def _short_names(names: Collection[str]) -> dict[str, str]:
    """Give names by what is left of them, where that is left of one only."""
    counted = Counter(map(_short, names))
    return {_short(name): name for name in names if counted[_short(name)] == 1}


def _short(name: str) -> str:
    short = ".".join(part for part in name.split(".") if part not in LEFT_OUT)
    return short.replace(f"{MAGNITUDE}.weight", MAGNITUDE)


def _usual_lists(model: nn.Module) -> Iterator[tuple[str, ...]]:
    """Give the lists that people send, the most common first."""
    everything = tuple(model.state_dict())
    parameters = dict(model.named_parameters())
    normalising = _normalising(model)
    yield everything
    yield tuple(parameters)
    yield tuple(name for name in everything if not name.endswith(COUNTER))
    yield tuple(name for name, each in parameters.items() if each.requires_grad)
    yield tuple(name for name in everything if name not in normalising)


def _first_and_last(count: int, model: nn.Module) -> Iterator[tuple[str, ...]]:
    """Give so many arrays from either end: a body without its head, or a head."""
    for names in (tuple(model.state_dict()), tuple(dict(model.named_parameters()))):
        yield names[:count]
        yield names[len(names) - count :]


def _normalising(model: nn.Module) -> set[str]:
    """Name the arrays of normalisation layers."""
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, NORMALISATION)]
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, layer in layers
        for name in layer.state_dict()
    }


def _only_subsequence(
    shapes: Shapes, own: Mapping[str, Size]
) -> tuple[str, ...] | None:
    """Match shapes with a part of the model's in order, if only one part has them.

    The first match and the last one are the same then.
    """
    names = list(own)
    first = _first_match(shapes, names, own.__getitem__)
    last = _first_match(shapes[::-1], names[::-1], own.__getitem__)
    return tuple(first) if first and first == last[::-1] else None


def _first_match(
    shapes: Shapes, names: Sequence[str], shape_of: Callable[[str], Size]
) -> list[str]:
    """Take the first name with each shape, in order; nothing if they run out."""
    left = iter(names)
    found = [next((n for n in left if shape_of(n) == shape), "") for shape in shapes]
    return found if all(found) else []
