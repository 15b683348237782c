"""A vision-language model of the real classes with tiny random weights, whose answers depend on the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tokenizers
import torch
import transformers
from tokenizers import decoders, pre_tokenizers

TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %} Answer:"
)


def build(folder: Path, answers: Sequence[str]) -> Path:
    """Save it in ``folder``; each of ``answers`` is one token, so one token of output is one answer."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tokenizer = _tokenizer(answers)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        model = transformers.LlavaForConditionalGeneration(_config(tokenizer))
        for layer in model.model.language_model.layers:  # strong attention, or the image would hardly matter
            layer.self_attn.o_proj.weight *= 40
            layer.self_attn.v_proj.weight *= 40
        model.model.multi_modal_projector.linear_2.weight *= 300
        model.lm_head.weight.zero_()
        for token in tokenizer.convert_tokens_to_ids(list(answers)):
            model.lm_head.weight[token] = 50 * torch.randn(32)
    model.save_pretrained(folder)
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30})
    processor = transformers.LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=10,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(folder)
    return folder


def _tokenizer(answers: Sequence[str]) -> transformers.PreTrainedTokenizerFast:
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "</s>", "<s>", "<unk>", "<image>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(["quality of an image"], trainer)
    model.add_tokens(list(answers))
    special = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=model, extra_special_tokens={"image_token": "<image>"}, **special
    )


def _config(tokenizer: transformers.PreTrainedTokenizerFast) -> transformers.LlavaConfig:
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        intermediate_size=64,
        max_position_embeddings=2048,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        **size,
    )
    vision = transformers.CLIPVisionConfig(intermediate_size=37, image_size=30, patch_size=10, **size)
    return transformers.LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="default",
        vision_feature_layer=-2,
        image_seq_length=9,
    )
