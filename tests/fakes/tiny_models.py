"""Vision-language and CLIP models of random weights, small enough for a test, saved as their libraries save real ones."""

import json
from pathlib import Path

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from sensei.preferences.frames import save_frames

CHAT = (
    "{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def tokenizer(*special: str) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are bytes, `special` and </s>."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True) for token in ("</s>", *special)])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", pad_token="</s>", extra_special_tokens=list(special))


def save_llava(folder: Path) -> None:
    """LLaVA: CLIP's picture tower, one number of picture tokens for all sizes."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    words = tokenizer("<image>")
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=16
    )
    text = LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=words.convert_tokens_to_ids("<image>"))
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    template = CHAT.replace("IMAGE", "<image>")
    LlavaProcessor(
        pictures, words, patch_size=16, vision_feature_select_strategy="default", num_additional_image_tokens=1, chat_template=template
    ).save_pretrained(folder)


def save_qwen(folder: Path) -> None:
    """Qwen2-VL: a picture tower of its own, as many picture tokens as a picture is large, rotary positions in three dimensions."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor

    words = tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    number = words.convert_tokens_to_ids
    text = {
        "vocab_size": len(words),
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
    }
    config = Qwen2VLConfig(
        text_config=text,
        vision_config={"depth": 2, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 1, "patch_size": 14},
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
    )
    torch.manual_seed(0)
    Qwen2VLForConditionalGeneration(config).save_pretrained(folder)
    template = CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    pictures, videos = (kind(min_pixels=28 * 28, max_pixels=56 * 56) for kind in (Qwen2VLImageProcessor, Qwen2VLVideoProcessor))
    Qwen2VLProcessor(pictures, words, videos, chat_template=template).save_pretrained(folder)


FAMILIES = {"llava": save_llava, "qwen2_vl": save_qwen}

CLIP_MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 16, "layers": 1, "head_width": 8},
    "text_cfg": {"context_length": 24, "width": 16, "heads": 2, "layers": 1},
}
CLIP_PICTURES = {"size": 32, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bicubic", "resize_mode": "shortest"}


def save_clip(folder: Path, pictures: dict = CLIP_PICTURES) -> None:
    """A CLIP model in the format of open_clip."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = open_clip.CLIP(**CLIP_MODEL)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP_MODEL, "preprocess_cfg": pictures}))
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "open_clip_model.safetensors")


def random_frames(path: Path, number: int = 6, side: int = 80) -> Path:
    """A frames file of noise."""
    rng = np.random.default_rng(0)
    save_frames(path, {"default": rng.integers(0, 256, (number, side, side, 3), np.uint8)}, np.zeros((number, 1), np.float32))
    return path
