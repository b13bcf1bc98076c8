"""The image-reward package (1.5), at any size and without its downloads.

Needs an environment of its own, beside the one of the other scripts:

    pip install --no-deps image-reward==1.5 transformers==4.30.2 tokenizers==0.13.3 timm==0.6.13 \
        fairscale==0.4.13 huggingface-hub==0.16.4        (and PyTorch, torchvision, Pillow)

All that computes a score is the package's own code: preprocessing, tokenizer, vision transformer,
text encoder, head, `score`. Left out are two imports that it does not need for that (the `clip`
package of another score, and the fine-tuning of diffusion models), and sizes are put where the
package has constants.
"""
import json
import os
import sys
import tempfile
import types

import torch

PUBLISHED = dict(
    vision=dict(embed_dim=1024, depth=24, num_heads=16, img_size=224, patch_size=16),
    text=dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
              num_attention_heads=12, vocab_size=30524, max_position_embeddings=512))


def load():
    """(the module with class ImageReward, the module with class BLIP_Pretrain, vit's module)."""
    sys.modules.setdefault("clip", types.ModuleType("clip"))
    sys.modules.setdefault("ImageReward.ReFL", types.ModuleType("ImageReward.ReFL"))
    import ImageReward  # noqa: F401
    from ImageReward.models.BLIP import blip_pretrain, vit
    return sys.modules["ImageReward.ImageReward"], blip_pretrain, vit


def med_config(text):
    """med_config.json as published, with other sizes."""
    return dict(architectures=["BertModel"], attention_probs_dropout_prob=0.1, hidden_act="gelu",
                hidden_dropout_prob=0.1, initializer_range=0.02, layer_norm_eps=1e-12,
                model_type="bert", pad_token_id=0, add_type_embeddings=False,
                encoder_width=768, add_cross_attention=True, **text)


def tokenizer_of(folder):
    """init_tokenizer() on a folder with vocab.txt; transformers must be the slow kind."""
    from transformers import BertTokenizer
    from ImageReward.models.BLIP import blip
    real = blip.BertTokenizer
    blip.BertTokenizer = types.SimpleNamespace(
        from_pretrained=lambda name: BertTokenizer.from_pretrained(folder))
    try:
        return blip.init_tokenizer()
    finally:
        blip.BertTokenizer = real


def build(sizes=PUBLISHED, vocabulary=None):
    """An ImageReward in eval mode. Without a vocabulary's folder it takes ids, not text."""
    package, pretrain, vit = load()
    path = os.path.join(tempfile.mkdtemp(), "med_config.json")
    json.dump(med_config(sizes["text"]), open(path, "w"))
    kept = pretrain.create_vit, pretrain.init_tokenizer, package.MLP
    pretrain.create_vit = lambda *a, **k: (vit.VisionTransformer(**sizes["vision"]),
                                           sizes["vision"]["embed_dim"])
    pretrain.init_tokenizer = lambda: tokenizer_of(vocabulary) if vocabulary else None
    package.MLP = lambda width: kept[2](sizes["text"]["hidden_size"])
    try:
        return package.ImageReward(med_config=path).eval()
    finally:
        pretrain.create_vit, pretrain.init_tokenizer, package.MLP = kept


def origin():
    import transformers
    return (f"image-reward 1.5, transformers {transformers.__version__}, "
            f"PyTorch {torch.__version__}")
