#!/usr/bin/env python3
"""Trains the demo model on one GPU in a few minutes and writes it as a Hugging Face folder.

    train.py OUT_FOLDER [--epochs N] [--conversations N]

Needs PyTorch, tokenizers and safetensors. Prints the share of held-out turns answered exactly, in
fp32 and with every matrix rounded to 4 bits.
"""

import argparse
import array
import itertools
import json
import math
import multiprocessing
import pathlib
import random
import time

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import generate

VOCAB, DIM, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FFN, CONTEXT = 1024, 192, 4, 6, 2, 32, 512, 1024
THETA, EPS, GROUP = 10000.0, 1e-5, 32
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
END, IM_START, IM_END = range(3)
TOKENS_A_BATCH = 65536
# Words, single digits, runs of signs: the split of Qwen 2.
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CHAT_TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + "
                 "'<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}"
                 "{{ '<|im_start|>assistant\n' }}{% endif %}")


# --- text

def make_conversations(args):
    return list(generate.train(*args))


def texts_of(conversation):
    """(text, is an answer) of each turn, as the chat template writes them."""
    if conversation["state"]:
        yield "system\n" + conversation["state"], False
    for said, what in conversation["turns"]:
        yield "user\n" + said, False
        yield what, True


def train_tokenizer(conversations):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        (text for one in conversations for text, _ in texts_of(one)),
        trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=SPECIAL, show_progress=False,
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def encode(tokenizer, conversations):
    """Rows of token ids, and of which are to be learnt: answers and the token that ends them."""
    counts, texts = [], []
    for one in conversations:
        mine = list(texts_of(one))
        counts.append(len(mine))
        texts += mine
    ids = [e.ids for e in tokenizer.encode_batch_fast([text for text, _ in texts])]
    line, assistant = (tokenizer.encode(text).ids for text in ("\n", "assistant\n"))
    rows, at = [], 0
    for count in counts:
        row, learn = [], []
        for (_, answers), piece in zip(texts[at:at + count], ids[at:at + count]):
            if answers:
                row += [IM_START] + assistant
                learn += [False] * (1 + len(assistant))
                row += piece + [IM_END]
                learn += [True] * (len(piece) + 1)
            else:
                row += [IM_START] + piece + [IM_END]
                learn += [False] * (len(piece) + 2)
            row += line
            learn += [False] * len(line)
        at += count
        if len(row) <= CONTEXT:
            rows.append((row, learn))
    return rows


# --- the model: Llama

def to_four_bits(w):
    """Nearest of 16 levels, groups of GROUP columns; the gradient passes straight through."""
    groups = w.detach().reshape(-1, GROUP)
    largest = groups.gather(1, groups.abs().argmax(1, keepdim=True))
    step = (largest / -8).half().float()
    step = torch.where(step == 0, torch.ones_like(step), step)
    rounded = ((groups / step).round().clamp(-8, 7) * step).reshape(w.shape)
    return w + (rounded - w).detach()


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        def matrix(rows, columns):
            return torch.nn.Parameter(torch.randn(rows, columns) * 0.5 / math.sqrt(columns))
        self.w = torch.nn.ParameterDict()
        self.w["model_embed_tokens"] = torch.nn.Parameter(torch.randn(VOCAB, DIM) * 0.05)
        self.w["model_norm"] = torch.nn.Parameter(torch.ones(DIM))
        for i in range(LAYERS):
            for name, rows, columns in [("self_attn-q_proj", HEADS * HEAD_DIM, DIM),
                                        ("self_attn-k_proj", KV_HEADS * HEAD_DIM, DIM),
                                        ("self_attn-v_proj", KV_HEADS * HEAD_DIM, DIM),
                                        ("self_attn-o_proj", DIM, HEADS * HEAD_DIM),
                                        ("mlp-gate_proj", FFN, DIM), ("mlp-up_proj", FFN, DIM),
                                        ("mlp-down_proj", DIM, FFN)]:
                self.w[f"{i}-{name}"] = matrix(rows, columns)
            for name in ("input_layernorm", "post_attention_layernorm"):
                self.w[f"{i}-{name}"] = torch.nn.Parameter(torch.ones(DIM))
        angles = torch.outer(torch.arange(CONTEXT).float(),
                             THETA ** (-torch.arange(0, HEAD_DIM, 2).float() / HEAD_DIM))
        self.register_buffer("cos", angles.cos().repeat(1, 2))
        self.register_buffer("sin", angles.sin().repeat(1, 2))

    def forward(self, tokens, four_bits):
        """Hidden states [rows][positions][DIM], and the table that makes logits of them."""
        w = {k: to_four_bits(v) if four_bits and v.dim() == 2 else v for k, v in self.w.items()}
        count = tokens.shape[1]
        cos, sin = self.cos[:count], self.sin[:count]

        def turn(x):
            a, b = x.chunk(2, -1)
            return (x * cos + torch.cat([-b, a], -1) * sin).to(x.dtype)

        def heads(x, n):
            return x.view(*x.shape[:2], n, HEAD_DIM).transpose(1, 2)

        x = F.embedding(tokens, w["model_embed_tokens"])
        for i in range(LAYERS):
            m = {k.split("-")[-1]: v for k, v in w.items() if k.startswith(f"{i}-")}
            h = F.rms_norm(x, (DIM,), m["input_layernorm"], EPS)
            q, k, v = (heads(F.linear(h, m[n + "_proj"]), c) for n, c in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)))
            k, v = (one.repeat_interleave(HEADS // KV_HEADS, 1) for one in (turn(k), v))
            a = F.scaled_dot_product_attention(turn(q), k, v, is_causal=True)
            x = x + F.linear(a.transpose(1, 2).reshape(*x.shape[:2], -1), m["o_proj"])
            h = F.rms_norm(x, (DIM,), m["post_attention_layernorm"], EPS)
            x = x + F.linear(F.silu(F.linear(h, m["gate_proj"])) * F.linear(h, m["up_proj"]), m["down_proj"])
        return F.rms_norm(x, (DIM,), w["model_norm"], EPS), w["model_embed_tokens"]


# --- learning

def batches(rows, rng):
    """Rows of like lengths, padded to the longest, in any order."""
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i][0]) + rng.random() * 8))
    out, at = [], 0
    while at < len(order):
        size = 1
        while at + size < len(order) and (size + 1) * len(rows[order[at + size]][0]) <= TOKENS_A_BATCH:
            size += 1
        out.append(order[at:at + size])
        at += size
    rng.shuffle(out)
    return out


class Rows:
    """All rows one after the other on the GPU, from which a batch is gathered."""

    def __init__(self, rows):
        flat = array.array("H", itertools.chain.from_iterable(row for row, _ in rows))
        wanted = bytes(itertools.chain.from_iterable(wanted for _, wanted in rows))
        self.flat = torch.frombuffer(flat, dtype=torch.int16).cuda().long()
        self.wanted = torch.frombuffer(bytearray(wanted), dtype=torch.bool).cuda()
        self.length = torch.tensor([len(row) for row, _ in rows], device="cuda")
        self.start = self.length.cumsum(0) - self.length

    def gather(self, indices, width):
        at = torch.arange(width, device="cuda")
        live = at < self.length[indices, None]
        place = (self.start[indices, None] + at).clamp(max=len(self.flat) - 1)
        return torch.where(live, self.flat[place], END), self.wanted[place] & live


def learn(model, rows, epochs, rng, peak=4e-3, warmup=200):
    decayed = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}],
                                  lr=peak, betas=(0.9, 0.98), fused=True)
    plan = list(itertools.chain.from_iterable(batches(rows, rng) for _ in range(epochs)))
    on_gpu = Rows(rows)
    began = time.time()
    for step, indices in enumerate(plan):
        done = step / len(plan)
        for group in optimizer.param_groups:
            group["lr"] = peak * min(1, (step + 1) / warmup) * max(0.5 * (1 + math.cos(math.pi * done)), 0.005)
        width = (max(len(rows[i][0]) for i in indices) + 15) // 16 * 16  # few shapes to plan for
        tokens, wanted = on_gpu.gather(torch.tensor(indices, device="cuda"), width)
        # Half of the later steps with 4 bits, so that both ways are learnt.
        four_bits = done > 0.3 and step % 2 == 0
        with torch.autocast("cuda", torch.bfloat16):
            hidden, table = model(tokens[:, :-1], four_bits)
            loss = F.cross_entropy(F.linear(hidden[wanted[:, 1:]], table).float(), tokens[:, 1:][wanted[:, 1:]])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 500 == 0 or step + 1 == len(plan):
            print(f"step {step} of {len(plan)}, loss {loss.item():.5f}, {time.time() - began:.0f} s", flush=True)


@torch.no_grad()
def exact_share(model, tokenizer, rows, four_bits, misses=0):
    prompts = []
    line, assistant = (tokenizer.encode(text).ids for text in ("\n", "assistant\n"))
    for state, said, _ in rows:
        prompt = []
        for text in ["system\n" + state] * bool(state) + ["user\n" + said]:
            prompt += [IM_START] + tokenizer.encode(text).ids + [IM_END] + line
        prompts.append(prompt + [IM_START] + assistant)
    length = torch.tensor([len(one) for one in prompts], device="cuda")
    width = int(length.max()) + 48
    tokens = torch.tensor([one + [END] * (width - len(one)) for one in prompts], device="cuda")
    each = torch.arange(len(rows), device="cuda")
    open_rows = torch.ones(len(rows), dtype=torch.bool, device="cuda")
    for _ in range(47):
        hidden, table = model(tokens, four_bits)
        token = F.linear(hidden[each, length - 1], table).argmax(-1)
        open_rows &= token != IM_END
        tokens[each, length] = torch.where(open_rows, token, tokens[each, length])
        length = length + open_rows
    right = 0
    for prompt, row, end, (state, said, want) in zip(prompts, tokens.tolist(), length.tolist(), rows):
        got = tokenizer.decode(row[len(prompt):end], skip_special_tokens=False)
        right += got == want
        if got != want and misses > 0:
            misses -= 1
            print(f"  {state!r} {said!r}: {got} for {want}")
    return right / len(rows)


def write(model, tokenizer, folder):
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for key, value in model.w.items():
        name = key.replace("-", ".")
        name = name.replace("model_", "model.") if name.startswith("model_") else f"model.layers.{name}"
        tensors[name + ".weight"] = value.detach().half().cpu().contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    def put(name, value):
        (folder / name).write_text(json.dumps(value, indent=1) + "\n")
    put("config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": DIM,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM, "intermediate_size": FFN, "vocab_size": VOCAB, "max_position_embeddings": CONTEXT,
        "rope_theta": THETA, "rms_norm_eps": EPS, "tie_word_embeddings": True, "attention_bias": False,
        "mlp_bias": False, "torch_dtype": "float16", "eos_token_id": IM_END})
    put("generation_config.json", {"eos_token_id": [IM_END, END]})
    put("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "bos_token": None,
        "add_bos_token": False, "clean_up_tokenization_spaces": False, "chat_template": CHAT_TEMPLATE})
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=pathlib.Path)
    options.add_argument("--epochs", type=int, default=6)
    options.add_argument("--conversations", type=int, default=640000)
    options = options.parse_args()
    torch.manual_seed(1)
    torch.backends.cuda.enable_cudnn_sdp(False)  # it plans for seconds at every new shape
    rng = random.Random(1)
    parts = 16
    with multiprocessing.Pool() as pool:
        made = pool.map(make_conversations, [(options.conversations // parts, i + 1) for i in range(parts)])
    conversations = [one for part in made for one in part]
    tokenizer = train_tokenizer(conversations[:100000])
    rows = encode(tokenizer, conversations)
    print(f"{len(rows)} conversations, {sum(len(row) for row, _ in rows)} tokens", flush=True)
    model = Model().cuda()
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    learn(model, rows, options.epochs, rng)
    with torch.no_grad():  # what is written is what is measured
        for one in model.parameters():
            one.copy_(one.half().float())
    write(model, tokenizer, options.folder)
    held_out = generate.held_out(500)
    print(f"held out, fp32: {exact_share(model, tokenizer, held_out, False, 30):.3f}")
    print(f"held out, 4 bits: {exact_share(model, tokenizer, held_out, True, 10):.3f}")
    more = generate.held_out(5000, seed=7)
    print(f"5000 others, fp32: {exact_share(model, tokenizer, more, False, 60):.4f}, "
          f"4 bits: {exact_share(model, tokenizer, more, True):.4f}")


if __name__ == "__main__":
    main()
