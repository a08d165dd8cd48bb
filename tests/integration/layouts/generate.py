#!/usr/bin/env python3
"""Writes layouts.toml: every layout of 2, 4 and 8 ranks, each held against one process on the same tokens. layouts_test.py compares the file
with what this prints, so that a new axis is a change here.

The rows of a step are the whole of the data: the same ones, however many ranks read them.
"""
import itertools

ROWS = 16
ONE_STAGE = ("1F1B", "GPipe")
TWO_STAGES = ("Interleaved1F1B", "LoopedBFS", "InterleavedZeroBubble", "ZBVZeroBubble", "DualPipeV")
HEADER = f'''# Written by generate.py.
config = "../suite/base_config_cpu.toml"
steps = 3
args = """--model.flavor=tiny_8_heads --training.dataset_path={{data}}/rows.u16 --training.global_batch_size={ROWS} --training.max_norm=100
--optimizer.eps=1e-6 --activation_checkpoint.mode=none"""

[tokens]
"rows.u16" = {{ rows = {ROWS}, seq_len = 32, vocabulary = 2048 }}

[[test]]
name = "one"
description = "two layers"
ngpu = 1
args = "--training.local_batch_size=1"
holds = ["ends at step 3"]

[[test]]
name = "one_debugmodel"
description = "six layers, which make eight stages"
ngpu = 1
args = "--model.flavor=debugmodel --training.local_batch_size=1"
holds = ["ends at step 3"]
'''
# Other models that share texts among ranks: (name, its flavor, whether it has experts).
MODELS = (("qwen3", "tiny", False), ("qwen3", "tiny_moe", True), ("llama4", "tiny_irope", True), ("deepseek_v3", "tiny", True))
# Of them (shards, tensor, context, pipeline, experts).
MODEL_LAYOUTS = ((1, 1, 2, 1, 1), (1, 1, 4, 1, 1), (2, 1, 2, 1, 1), (1, 2, 2, 1, 1), (1, 1, 2, 2, 1), (1, 1, 2, 1, 2), (2, 1, 2, 1, 2),
                 (2, 1, 2, 1, 4), (2, 2, 2, 1, 2))
# Key/value heads of tiny_8_heads.
LARGEST_TENSOR = 4
# Stages that the debug model can be cut in.
MOST_STAGES = 8


def data_parallel(ranks):
    """(name, replicas, shards) of all ways to spread data over so many ranks."""
    if ranks == 1:
        return [("", 1, 1)]
    ways = [(f"ddp{ranks}", ranks, 1), (f"fsdp{ranks}", 1, ranks)]
    return ways + [(f"hsdp{r}x{ranks // r}", r, ranks // r) for r in range(2, ranks) if ranks % r == 0]


def layouts(ranks):
    """(data, tensor, context, pipeline, schedule) of all products of the axes."""
    powers = [2**i for i in range(ranks.bit_length())]
    for pipeline, context, tensor in itertools.product(powers, repeat=3):
        readers, rest = divmod(ranks, pipeline * context * tensor)
        if rest or readers == 0:
            continue
        for data in data_parallel(readers):
            for schedule in ("",) if pipeline == 1 else (*ONE_STAGE, *TWO_STAGES):
                yield data, tensor, context, pipeline, schedule


def entry(name, ranks, args, holds):
    lines = ["[[test]]", f'name = "{name}"', f"ngpu = {ranks}"]
    refused = holds[0].startswith("refuses")
    quoted = ", ".join(f"'{sentence}'" if '"' in sentence else f'"{sentence}"' for sentence in holds)
    if refused:
        lines.append("[[test.run]]")
    lines.append(f'args = """{args}"""')
    lines.append(f"holds = [{quoted}]")
    return "\n".join(lines) + "\n"


def entry_of(ranks, data, tensor, context, pipeline, schedule):
    name, replicate, shard = data
    parts = [name] + [f"{axis}{degree}" for axis, degree in (("tp", tensor), ("cp", context), ("pp", pipeline)) if degree > 1]
    args = [f"--parallelism.{option}={degree}" for option, degree in (
        ("data_parallel_replicate_degree", replicate), ("data_parallel_shard_degree", shard), ("tensor_parallel_degree", tensor),
        ("context_parallel_degree", context), ("pipeline_parallel_degree", pipeline)) if degree > 1 or option.endswith("shard_degree")]
    args.append(f"--training.local_batch_size={ROWS // (replicate * shard)}")
    expected = "one"
    stages = pipeline * (2 if schedule in TWO_STAGES else 1)
    holds = []
    if schedule:
        parts.append(schedule)
        args.append(f"--parallelism.pipeline_parallel_schedule={schedule}")
        if stages > 4:
            args.append("--model.flavor=debugmodel")
            expected = "one_debugmodel"
        if stages > MOST_STAGES:
            holds = [f'refuses with "a pipeline of {stages} stages"']
    if tensor > LARGEST_TENSOR:
        holds = [f'refuses with "its {LARGEST_TENSOR} key/value heads do not divide among {tensor} ranks; nearest valid layouts: {{"']
    holds = holds or [f"equals {expected} within 1e-6", f"norms equal {expected} within 1e-3"]
    return entry("_".join(part for part in parts if part), ranks, " ".join(args), holds)


def models():
    """Context parallelism of the other models, each against one process of its own."""
    for model, flavor, has_experts in MODELS:
        chosen = f"--model.name={model} --model.flavor={flavor}"
        title = f"{model}_{flavor}"
        yield entry(title, 1, f"{chosen} --training.local_batch_size=1", ["ends at step 3"])
        for shard, tensor, context, pipeline, experts in MODEL_LAYOUTS:
            if experts > 1 and not has_experts:
                continue
            axes = (("fsdp", "data_parallel_shard", shard), ("tp", "tensor_parallel", tensor), ("cp", "context_parallel", context),
                    ("pp", "pipeline_parallel", pipeline), ("ep", "expert_parallel", experts))
            name = "_".join([title, *(f"{axis}{degree}" for axis, _, degree in axes if degree > 1)])
            args = [chosen, *(f"--parallelism.{option}_degree={degree}" for axis, option, degree in axes if degree > 1 or axis == "fsdp"),
                    f"--training.local_batch_size={ROWS // shard}"]
            yield entry(name, shard * tensor * context * pipeline, " ".join(args),
                        [f"equals {title} within 1e-6", f"norms equal {title} within 1e-3"])


def refusals():
    """What does not make the number of ranks, with the nearest that does."""
    for ranks, axis, degree in ((2, "tensor", 3), (4, "data_parallel_shard", 3), (8, "pipeline", 3), (8, "tensor", 16)):
        option = f"{axis}_degree" if axis.startswith("data") else f"{axis}_parallel_degree"
        yield entry(f"refused_{axis}{degree}_of_{ranks}", ranks, f"--parallelism.{option}={degree}",
                    ['refuses with "nearest valid layouts: {"'])


def text():
    parts = [HEADER]
    for ranks in (2, 4, 8):
        parts.append(f"# {ranks} ranks\n")
        parts += [entry_of(ranks, *layout) for layout in layouts(ranks)]
    parts.append("# 16 ranks: all axes\n")
    parts.append(entry_of(16, ("fsdp2", 1, 2), 2, 2, 2, "Interleaved1F1B"))
    parts.append("# Other models\n")
    parts += models()
    parts.append("# What is no layout\n")
    return "\n".join([*parts, *refusals()])


if __name__ == "__main__":
    print(text(), end="")
