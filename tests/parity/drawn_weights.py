"""The initial weights of a language model as PyTorch draws them on this machine.

Uniform numbers are the same everywhere; the inverse error function behind truncated normal ones is MKL's, which rounds otherwise on
other processors. So the recorded hashes hold for one kind of processor, these for the one at hand.
"""
import hashlib
import re

import torch

EMBEDDING = "tok_embeddings.weight"
OUTPUT = "output.weight"


def order_of_drawing(names):
    """The reference's: the embedding, the layers one after the other, the output."""
    layers = sorted({int(name.split(".")[1]) for name in names if name.startswith("layers.")})
    attention = [f"attention.{part}.weight" for part in ("wkv_a", "wkv_b", "wq_a", "wq_b", "wq", "wk", "wv", "wo")]
    feed_forward = [f"feed_forward.{part}.weight" for part in ("w1", "w2", "w3")]
    mixture = ["moe.experts.w1", "moe.experts.w2", "moe.experts.w3", "moe.router.gate.weight",
               *(f"moe.shared_experts.{part}.weight" for part in ("w1", "w2", "w3"))]
    of_layers = [f"layers.{layer}.{part}" for layer in layers for part in attention + feed_forward + mixture]
    return [EMBEDDING, *(name for name in of_layers if name in names), OUTPUT]


def draw(name, tensor):
    """Fills one tensor from the default generator."""
    if name == EMBEDDING:
        torch.nn.init.normal_(tensor)
    elif name == OUTPUT:
        std = tensor.shape[1] ** -0.5
        torch.nn.init.trunc_normal_(tensor, mean=0.0, std=std, a=-3 * std, b=3 * std)
    else:
        layer, part = re.fullmatch(r"layers\.(\d+)\.[\w.]+?\.(gate|w\w+)(?:\.weight)?", name).groups()
        std = 0.02 / (2 * (int(layer) + 1)) ** 0.5 if part in ("wo", "w2", "w3", "gate") else 0.02
        torch.nn.init.trunc_normal_(tensor, mean=0.0, std=std)


def drawn_weights(shapes, dtype, seed):
    """SHA-256 by name, of the tensors in `shapes` that are drawn. Without an output of its own a model has the embedding's, over which
    the output's numbers are drawn."""
    torch.manual_seed(seed)
    hashes = {}
    for name in order_of_drawing(shapes):
        tensor_name = name if name in shapes else EMBEDDING
        # Truncated normal numbers are drawn in fp32 whatever the type.
        tensor = torch.empty(shapes[tensor_name], dtype=getattr(torch, dtype) if name == EMBEDDING else torch.float32)
        draw(name, tensor)
        tensor = tensor.to(getattr(torch, dtype))
        hashes[tensor_name] = hashlib.sha256(tensor.view(torch.uint8).numpy().tobytes()).hexdigest()
    return hashes
