"""Model and setting to what is told of them: facts and findings."""

from rich.console import Console
from rich.progress import Progress
from torch import nn

from flwr_vdcs.cli.checking.anatomy import anatomy_of
from flwr_vdcs.cli.checking.facts import facts_of
from flwr_vdcs.cli.checking.findings import Finding, findings_of
from flwr_vdcs.cli.checking.reach import reach_of
from flwr_vdcs.cli.checking.setting import Setting
from flwr_vdcs.cli.checking.trial import Trial, try_out
from flwr_vdcs.probe import unwrapped


def examined(
    model: nn.Module, setting: Setting
) -> tuple[dict[str, str], list[Finding]]:
    """Try a model, and say what was found, the facts by label."""
    net = unwrapped(model)
    anatomy = anatomy_of(net)
    trial = _with_progress(net, setting)
    reach = reach_of(net, setting.draw(trial.num_tried), trial.heads)
    return facts_of(anatomy, trial, setting), findings_of(anatomy, trial, reach)


def _with_progress(net: nn.Module, setting: Setting) -> Trial:
    console = Console(stderr=True)
    disable = not console.is_terminal
    with Progress(console=console, transient=True, disable=disable) as progress:
        task = progress.add_task("clients", total=setting.num_clients)
        return try_out(net, setting, lambda: progress.advance(task))
