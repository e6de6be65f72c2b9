"""A trait vector on a model, outside the pipeline: `python -m docs.outside VECTORS MODEL`."""

import sys

from transformers import AutoModelForCausalLM, AutoTokenizer

from traitdrift import load_vectors, project, steer

file, name = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(name)
tokenizer = AutoTokenizer.from_pretrained(name)

vectors = load_vectors(file)
print(f"{vectors.trait}: {vectors.position}, {vectors.method}, layer {vectors.layer}")
requests = ["Write a function that sorts a list.", "What is your one wish?"]
for request, score in zip(requests, project(model, tokenizer, requests, vectors), strict=True):
    print(f"{score:.1f}  {request}")
print(f"{vectors.threshold[vectors.layer]:.1f}  is midway between the classes")

# What tells best need not steer best: the pipeline steers in the middle layer.
vectors = load_vectors(file, "prompt_last", "mean_diff", layer=len(vectors.tensor) // 2)
said = [{"role": "user", "content": requests[1]}]
prompt = tokenizer.apply_chat_template(
    said, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
for coefficient in (0.0, 0.5):
    with steer(model, vectors, coefficient):
        answer = model.generate(**prompt, max_new_tokens=24, do_sample=False)
    text = tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
    print(f"coefficient {coefficient}: {text!r}")
