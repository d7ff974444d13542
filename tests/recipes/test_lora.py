"""LoRA: adapters travel, under the names that peft gives them (Hu et al., 2022)."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from tests.federation import seeded
from tests.recipes.sites import (
    assert_equal,
    assert_only_the_attacker_is_stopped,
    assert_the_model_goes_with_the_honest,
    play,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of their own imports, not ours
    reason = "the zoo extra is not installed"
    peft = pytest.importorskip("peft", reason=reason)
    transformers = pytest.importorskip("transformers", reason=reason)

# peft asks transformers for what the latter calls by another name now
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkp:FutureWarning")

VOCABULARY = 20


def tokens(generator: torch.Generator, num_samples: int) -> dict[str, Tensor]:
    """Draw sequences of tokens, of which none is padding."""
    ids = torch.randint(VOCABULARY, (num_samples, 6), generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def texts(generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    """Draw sequences, and whether their first token is in the first half."""
    drawn = tokens(generator, 32)
    return drawn, (drawn["input_ids"][:, 0] < VOCABULARY / 2).long()


def adapted_bert() -> nn.Module:
    """Build a small classifier of texts, and put adapters beside its attention."""
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = transformers.BertForSequenceClassification(config)
    return peft.get_peft_model(model, peft.LoraConfig(r=2, task_type="SEQ_CLS"))


def take(model: nn.Module) -> dict[str, Tensor]:
    """Give what peft saves."""
    saved = peft.get_peft_model_state_dict(model)
    return {key: array.detach() for key, array in saved.items()}


def test_two_rounds():
    """The adapters and the head are averaged; the base model is as it was."""
    played = play(
        adapted_bert,
        take,
        peft.set_peft_model_state_dict,
        texts,
        virtual_samples=tokens,
    )
    assert_only_the_attacker_is_stopped(played)
    assert_the_model_goes_with_the_honest(played)
    assert all("lora" in key or "classifier" in key for key in played.arrays)
    base = {
        name: parameter
        for name, parameter in seeded(adapted_bert).named_parameters()
        if not parameter.requires_grad
    }
    for site in played.sites:
        assert_equal({name: site.model.get_parameter(name) for name in base}, base)
