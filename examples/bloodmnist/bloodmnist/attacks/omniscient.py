r"""Attacks that are built from the honest clients' updates.

The attackers collude and know what every honest client sends. In this simulation they
have the honest clients' data and seeds and repeat their training, which is
deterministic, so that what they know is exact
(:func:`bloodmnist.attacks.mod.train_honest`, which also says where it is not). Means
and deviations are over the honest clients, unweighted. Buffers are sent as the
attacker's own training left them, but for :func:`mimic`.
"""

from __future__ import annotations

from statistics import NormalDist

from bloodmnist.attacks.view import AttackerView, deviation
from bloodmnist.model import State


def inner_product_manipulation(view: AttackerView, *, epsilon: float) -> State:
    r"""Send :math:`w_g - \varepsilon \bar\Delta`, the honest mean reversed.

    Xie, Koyejo and Gupta, "Fall of Empires", UAI 2020. An :math:`\varepsilon` of 0
    sends the received parameters.
    """
    return view.send(
        {
            name: view.received[name] - epsilon * updates.mean(0)
            for name, updates in view.honest_updates()
        }
    )


def a_little_is_enough(view: AttackerView, *, z: float | None = None) -> State:
    r"""Send :math:`w_g + \bar\Delta - z s`, with s the deviation per coordinate.

    Baruch, Baruch and Goldberg, "A Little Is Enough", NeurIPS 2019. Without a ``z`` it
    is what :func:`largest_hidden_z` gives; with 0 the honest mean is sent.
    """
    if z is None:
        z = largest_hidden_z(view.num_clients, view.num_malicious)
    return view.send(
        {
            name: view.received[name] + updates.mean(0) - z * deviation(updates)
            for name, updates in view.honest_updates()
        }
    )


def largest_hidden_z(num_clients: int, num_malicious: int) -> float:
    r"""Compute :math:`z = \Phi^{-1}((K - M - s) / (K - M))`.

    :math:`s = \lfloor K / 2 \rfloor + 1 - M` is how many honest clients the attackers
    need for a majority. It is negative where they need more than half of them.

    Raises
    ------
    ValueError
        If the attackers are a majority already, or need every honest client.
    """
    num_honest = num_clients - num_malicious
    num_supporters = num_clients // 2 + 1 - num_malicious
    if not 0 < num_supporters < num_honest:
        raise ValueError(
            f"alie needs attackers who are a minority and can become a majority, "
            f"got {num_malicious} of {num_clients} clients"
        )
    return NormalDist().inv_cdf((num_honest - num_supporters) / num_honest)


def mimic(view: AttackerView) -> State:
    """Send all that the first honest client sends, buffers included.

    Karimireddy, He and Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via
    Bucketing", ICLR 2022: every attacker copies the same client, which makes its data
    count for more. No update looks wrong.

    Raises
    ------
    ValueError
        If all clients are poisoned.
    """
    return view.send(view.honest_states()[0])
