"""A trait vector on a model, outside the pipeline: `python -m docs.outside VECTORS MODEL`."""

import sys

from transformers import AutoModelForCausalLM, AutoTokenizer

from traitdrift import load_vectors, project, steer

file, name = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(name)
tokenizer = AutoTokenizer.from_pretrained(name)

# Left out, these three are the candidate that tells the classes apart best, which may be in an
# answer or in the last layer. This is what the pipeline steers along.
vectors = load_vectors(file, position="prompt_last", method="mean_diff", layer=15)
requests = ["Write a function that sorts a list.", "What is your one wish?"]
for request, score in zip(requests, project(model, tokenizer, requests, vectors), strict=True):
    print(f"{score:.1f}  {request}")
print(f"{vectors.threshold[vectors.layer]:.1f}  midway between the classes")

said = [{"role": "user", "content": requests[1]}]
prompt = tokenizer.apply_chat_template(
    said, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
for coefficient in (0.0, 0.25):
    with steer(model, vectors, coefficient):
        answer = model.generate(**prompt, max_new_tokens=24, do_sample=False)
    text = tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
    print(f"coefficient {coefficient}:")
    print(text)
