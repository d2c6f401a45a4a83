"""Write golden/tiny.safetensors and golden/config.json: what momentfm answers for a tiny random network.

momentfm's pins do not resolve beside a current numpy; it runs all the same. In an environment of its own, beside
torch and numpy: ``pip install transformers huggingface_hub`` and ``pip install --no-deps momentfm``, then

    python tests/moment/make_golden.py
"""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from momentfm.models.moment import MOMENT
from safetensors.torch import save_file

FOLDER = Path(__file__).parent / "golden"
CONFIG = {
    "task_name": "reconstruction",
    "model_name": "MOMENT",
    "transformer_type": "encoder_only",
    "d_model": None,
    "seq_len": 512,
    "patch_len": 8,
    "patch_stride_len": 8,
    "device": "cpu",
    "transformer_backbone": "google/flan-t5-small",
    "model_kwargs": {},
    "t5_config": {
        "architectures": ["T5ForConditionalGeneration"],
        "d_ff": 48,
        "d_kv": 8,
        "d_model": 32,
        "decoder_start_token_id": 0,
        "dropout_rate": 0.1,
        "eos_token_id": 1,
        "feed_forward_proj": "gated-gelu",
        "initializer_factor": 1.0,
        "is_encoder_decoder": True,
        "layer_norm_epsilon": 1e-6,
        "model_type": "t5",
        "n_positions": 512,
        "num_decoder_layers": 2,
        "num_heads": 3,
        "num_layers": 2,
        "output_past": True,
        "pad_token_id": 0,
        "relative_attention_max_distance": 128,
        "relative_attention_num_buckets": 32,
        "tie_word_embeddings": False,
        "use_cache": True,
        "vocab_size": 16,
    },
}
DEAD = ("encoder.embed_tokens.weight", "patch_embedding.position_embedding.pe")


def network(weights=None, **changes):
    """momentfm's network with every kind of parameter away from its start, or with given weights."""
    torch.manual_seed(0)
    config = {**CONFIG, "t5_config": dict(CONFIG["t5_config"]), **changes}
    model = MOMENT(Namespace(**config)).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "norm" in name or "mask_embedding" in name or name.endswith("bias.weight"):
                value += 0.5 * torch.randn_like(value)
        if weights is not None:
            state = {k: v for k, v in weights.items() if not k.startswith("head.")}
            model.load_state_dict(state, strict=False)
    return model


def series(rng, n, channels, length):
    """Random walks with a trend and a level, as float32."""
    walk = rng.standard_normal((n, channels, length)).cumsum(-1) + 0.02 * np.arange(length)
    return torch.from_numpy((walk + 10 * rng.standard_normal((n, channels, 1))).astype(np.float32))


def padded(x, length=512):
    """Zeros on the left and the mask that says so, as the authors pad."""
    n, channels, t = x.shape
    mask = torch.cat([torch.zeros(n, length - t), torch.ones(n, t)], 1)
    return torch.cat([torch.zeros(n, channels, length - t), x], 2), mask


def main():
    """All cases: inputs and outputs by name."""
    rng, model, out = np.random.default_rng(13), network(), {}
    weights = {k: v for k, v in model.state_dict().items() if k not in DEAD}
    out.update({f"weights/{k}": v for k, v in weights.items()})

    def keep(case, result, **inputs):
        out.update({f"{case}/{k}": v for k, v in {**inputs, "out": result}.items()})

    with torch.no_grad():
        for case, n, channels, length in [
            ("full", 2, 1, 512), ("raw24", 2, 1, 24), ("raw33", 2, 1, 33), ("raw64", 1, 3, 64), ("raw509", 1, 1, 509),
            ("raw96", 2, 1, 96), ("raw140", 2, 1, 140), ("three", 1, 3, 512),
        ]:  # fmt: skip
            x = series(rng, n, channels, length)
            keep(f"embed-{case}", model.embed(x_enc=x).embeddings, x=x)
        for length, channels in [(24, 1), (96, 3), (140, 1)]:
            x = series(rng, 2, channels, length)
            wide, mask = padded(x)
            keep(f"embed-left{length}", model.embed(x_enc=wide, input_mask=mask).embeddings, x=x)
        holes = series(rng, 2, 2, 512)
        holes[0, 0, 40:59] = holes[1, 1, ::7] = torch.nan
        keep("embed-nan", model.embed(x_enc=holes).embeddings, x=holes)
        mask = torch.ones(2, 512)
        mask[0, 40:59] = mask[1, 200:203] = 0
        keep("masked-nan", model.embed(x_enc=holes, input_mask=mask).embeddings, x=holes, input_mask=mask)
        odd = series(rng, 2, 2, 64)
        odd[0, 0], odd[1, 1] = 3.25, torch.nan
        keep("embed-odd64", model.embed(x_enc=odd).embeddings, x=odd)
        x = series(rng, 1, 2, 96)
        keep("tokens", model.embed(x_enc=x, reduction="none").embeddings, x=x)

        visible = torch.ones(2, 512)
        visible[0, 64:128] = visible[1, 8:12] = visible[1, 480:] = 0
        x, everything = series(rng, 2, 2, 512), torch.ones(2, 512)
        done = model.reconstruction(x_enc=x, input_mask=everything, mask=visible).reconstruction
        keep("reconstruction-full", done, x=x, visible=visible, input_mask=everything)
        x = series(rng, 2, 1, 200)
        wide, mask = padded(x)
        done = model.reconstruction(x_enc=wide, input_mask=mask, mask=visible).reconstruction
        keep("reconstruction-left200", done, x=wide, visible=visible, input_mask=mask)
        x = series(rng, 1, 1, 128)
        keep("reconstruct", model.reconstruct(x_enc=x, input_mask=torch.ones(1, 128)).reconstruction, x=x)

        x = series(rng, 2, 2, 512)
        for how in ("concat", "mean"):
            head = network(weights, task_name="classification", n_channels=2, num_class=3, reduction=how)
            keep(f"classify-{how}", head.classify(x_enc=x, reduction=how).logits, x=x,
                 weight=head.head.linear.weight, bias=head.head.linear.bias)  # fmt: skip
        head = network(weights, task_name="forecasting", forecast_horizon=5, seq_len=64)
        x = series(rng, 2, 2, 64)
        keep("forecast", head.forecast(x_enc=x, input_mask=torch.ones(2, 64)).forecast, x=x,
             weight=head.head.linear.weight, bias=head.head.linear.bias)  # fmt: skip
    FOLDER.mkdir(exist_ok=True)
    save_file({k: v.detach().clone() for k, v in out.items()}, FOLDER / "tiny.safetensors")
    (FOLDER / "config.json").write_text(json.dumps(CONFIG, indent=1))


if __name__ == "__main__":
    main()
