"""Language, speech and more: transformers, and adapters of peft."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn

from compatibility.entry import Entry
from compatibility.exchange import adapters

KIND = "Language, speech, images and text"
VOCABULARY, LENGTH = 200, 12

SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
IMAGES = {"image_size": 32, "patch_size": 8}


def token_ids(generator: Generator, num_samples: int) -> Tensor:
    """Draw sequences of tokens."""
    return torch.randint(VOCABULARY, (num_samples, LENGTH), generator=generator)


def tokens_and_mask(generator: Generator, num_samples: int) -> dict[str, Tensor]:
    """Draw sequences of tokens, of which none is padding."""
    tokens = token_ids(generator, num_samples)
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def tokens_without_cache(generator: Generator, num_samples: int) -> dict[str, Any]:
    """Draw sequences for a model that is not to keep its keys and values."""
    return {**tokens_and_mask(generator, num_samples), "use_cache": False}


def two_sequences(generator: Generator, num_samples: int) -> dict[str, Any]:
    """Draw what an encoder reads and what a decoder has said so far."""
    return {
        "input_ids": token_ids(generator, num_samples),
        "decoder_input_ids": token_ids(generator, num_samples),
        "use_cache": False,
    }


def spectrum_and_tokens(generator: Generator, num_samples: int) -> dict[str, Any]:
    """Draw what is heard, 80 frequencies by 100, and what has been said."""
    heard = torch.randn((num_samples, 80, 100), generator=generator)
    return {
        "input_features": heard,
        "decoder_input_ids": token_ids(generator, num_samples),
        "use_cache": False,
    }


def image_and_text(generator: Generator, num_samples: int) -> dict[str, Tensor]:
    """Draw an image and a sequence for each sample."""
    pixels = torch.randn((num_samples, 3, 32, 32), generator=generator)
    return {**tokens_and_mask(generator, num_samples), "pixel_values": pixels}


def entries() -> list[Entry]:
    """List what transformers and peft have."""
    return [
        _entry("BERT, classifier", bert, tokens_and_mask),
        _entry("DistilBERT, classifier", distilbert, tokens_and_mask),
        _entry("BERT, token ids alone", bert, token_ids),
        _entry("GPT-2", gpt2, tokens_and_mask),
        _entry("Llama", llama, tokens_without_cache),
        _entry("T5", t5, two_sequences),
        _entry("Whisper", whisper, spectrum_and_tokens),
        Entry(
            KIND,
            "wav2vec 2.0, classifier",
            "transformers",
            wav2vec2,
            {"input_shape": (800,)},
        ),
        Entry(
            KIND, "ViT, classifier", "transformers", vit, {"input_shape": (3, 32, 32)}
        ),
        _entry("CLIP", clip, image_and_text),
        _with_adapters("LoRA on BERT", "SEQ_CLS", bert, tokens_and_mask),
        _with_adapters("LoRA on GPT-2", "CAUSAL_LM", gpt2, tokens_and_mask),
        _with_adapters("DoRA on Llama", "CAUSAL_LM", llama, tokens_without_cache),
    ]


def _entry(
    name: str, build: Callable[[], nn.Module], samples: Callable[..., Any]
) -> Entry:
    return Entry(KIND, name, "transformers", build, {"virtual_samples": samples})


def _with_adapters(
    name: str, task: str, build: Callable[[], nn.Module], samples: Callable[..., Any]
) -> Entry:
    return Entry(
        KIND,
        name,
        "peft",
        partial(adapted, task, build, use_dora=name.startswith("DoRA")),
        {"virtual_samples": samples},
        adapters(),
    )


def adapted(task: str, build: Callable[[], nn.Module], *, use_dora: bool) -> nn.Module:
    """Freeze a model and put adapters of low rank beside its linear layers."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=4, target_modules="all-linear", task_type=task, use_dora=use_dora
    )
    return get_peft_model(build(), config)


def bert() -> nn.Module:
    """Build a classifier of texts."""
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig(**SMALL))


def distilbert() -> nn.Module:
    """Build a classifier of texts."""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(
        vocab_size=VOCABULARY, dim=32, n_layers=2, n_heads=2, hidden_dim=64
    )
    return DistilBertForSequenceClassification(config)


def gpt2() -> nn.Module:
    """Build a language model, whose head shares its embedding's weight."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=32, n_embd=32, n_layer=2, n_head=2
    )
    return GPT2LMHeadModel(config)


def llama() -> nn.Module:
    """Build a language model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**SMALL, num_key_value_heads=1))


def t5() -> nn.Module:
    """Build a model from text to text."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=VOCABULARY, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2
    )
    return T5ForConditionalGeneration(config)


def whisper() -> nn.Module:
    """Build a model from speech to text."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    special = dict.fromkeys(("pad", "bos", "eos", "decoder_start"), 1)
    config = WhisperConfig(
        vocab_size=VOCABULARY,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=50,
        max_target_positions=32,
        apply_spec_augment=False,
        **{f"{name}_token_id": token for name, token in special.items()},
    )
    return WhisperForConditionalGeneration(config)


def wav2vec2() -> nn.Module:
    """Build a classifier of speech, with a weight-normalised convolution."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    config = Wav2Vec2Config(
        **SMALL,
        conv_dim=(16, 16, 16),
        conv_stride=(5, 4, 4),
        conv_kernel=(10, 8, 4),
        num_feat_extract_layers=3,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        classifier_proj_size=16,
        apply_spec_augment=False,
    )
    return Wav2Vec2ForSequenceClassification(config)


def vit() -> nn.Module:
    """Build a classifier of images."""
    from transformers import ViTConfig, ViTForImageClassification

    small = {name: value for name, value in SMALL.items() if name != "vocab_size"}
    return ViTForImageClassification(ViTConfig(**small, **IMAGES))


def clip() -> nn.Module:
    """Build a model that compares images with texts."""
    from transformers import CLIPConfig, CLIPModel

    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 1)
    config = CLIPConfig(
        text_config={**SMALL, **special, "max_position_embeddings": 32},
        vision_config={**SMALL, **IMAGES},
        projection_dim=16,
    )
    return CLIPModel(config)
