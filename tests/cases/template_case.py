"""Chat templates as the hub has them, cut down to what is peculiar to each, and a tokenizer with their tokens."""

from tokenizers import AddedToken

from tests.cases.tiny_llm import CHATML, tiny_tokenizer

SPECIAL = ["<s>", "</s>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>", "<end_of_turn>"]
SPECIAL += ["<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<｜User｜>", "<｜Assistant｜>", "<|turn>", "<turn|>"]
SPECIAL += ["<|start|>", "<|channel|>", "<|message|>", "<|return|>", "<|channel>", "<channel|>", "[THINK]", "[/THINK]"]
PLAIN = ["<think>", "</think>"]
LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}"
    "{% set rules = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set rules = '' %}{% endif %}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + (rules if loop.first else '') + m['content'].strip() + "
    "' [/INST]' }}{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL = (  # the system message stands in the last question
    "{% set rules = '' %}{% if messages[0]['role'] == 'system' %}{% set rules = messages[0]['content'] + '\n\n' %}"
    "{% set messages = messages[1:] %}{% endif %}{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ '[INST] ' + (rules if loop.last else '') + m['content'] + '[/INST]' }}{% else %}"
    "{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
LLAMA_3 = (
    "{% if not date_string is defined %}{% if strftime_now is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}"
    "{% else %}{% set date_string = '26 Jul 2024' %}{% endif %}{% endif %}{{ bos_token }}"
    "<|start_header_id|>system<|end_header_id|>\n\nToday Date: {{ date_string }}\n\n"
    "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] | trim }}{% set messages = messages[1:] %}"
    "{% endif %}<|eot_id|>{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('alternate') }}"
    "{% endif %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + "
    "m['content'] | trim"
    " + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
GEMMA_4 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|turn>' + "
    "('model' if m['role'] == 'assistant' else m['role']) + '\n' + "
    "m['content'] | trim + '<turn|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|turn>model\n' }}"
    "{% if not enable_thinking | default(false) %}{{ '<|channel>thought\n<channel|>' }}{% endif %}{% endif %}"
)
PHI_3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
DEEPSEEK_R1 = (  # no system message is written at all
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '<｜User｜>' + m['content'] }}"
    "{% elif m['role'] == 'assistant' %}{{ '<｜Assistant｜>' + m['content'].split('</think>')[-1] + eos_token }}"
    "{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\n' }}{% endif %}"
)
QWEN_3 = (  # an empty thought before the last answer alone
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' and loop.last %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{{ m['content'].split('</think>')[-1].lstrip('\n') + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}"
    "{% endif %}{% endif %}"
)
GLM_4 = (  # an answer ends where the next question begins
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{% if m['role'] == 'assistant' %}{{ '\n<think></think>' }}"
    "{% endif %}{{ '\n' + m['content'] }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}"
    "{{ '\n<think></think>' if enable_thinking is defined and not enable_thinking else '' }}{% endif %}"
)
GPT_OSS = (
    "<|start|>system<|message|>Current date: {{ strftime_now('%Y-%m-%d') }}<|end|>{% for m in messages %}"
    "{% if m['role'] == 'assistant' %}{{ '<|start|>assistant<|channel|>final<|message|>' + m['content'] + "
    "('<|return|>' if loop.last else '<|end|>') }}"
    "{% else %}{{ '<|start|>' + m['role'] + '<|message|>' + m['content'] + "
    "'<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
ALPACA = (  # no token ends an answer
    "{% for m in messages %}{{ ('### Instruction:\n' if m['role'] == 'user' else '### Response:\n') + m['content'] + "
    "'\n\n' }}{% endfor %}{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
)
LAST_EOS = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% if m['role'] == 'assistant' and loop.last %}"
    "{{ eos_token }}{% else %}{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    + CHATML
)
IN_PARTS = (  # of vision-language models: a text is iterated over as a list of parts
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% for part in m['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "llama_2": LLAMA_2,
    "mistral": MISTRAL,
    "llama_3": LLAMA_3,
    "gemma": GEMMA,
    "gemma_4": GEMMA_4,
    "phi_3": PHI_3,
    "deepseek_r1": DEEPSEEK_R1,
    "qwen_3": QWEN_3,
    "glm_4": GLM_4,
    "gpt_oss": GPT_OSS,
    "alpaca": ALPACA,
    "last_eos": LAST_EOS,
    "default_system": DEFAULT_SYSTEM,
    "in_parts": IN_PARTS,
    "vicuna": None,
}
ENDS = {  # template → what ends the last answer
    "chatml": "<|im_end|>",
    "llama_3": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "gemma_4": "<turn|>",
    "phi_3": "<|end|>",
    "qwen_3": "<|im_end|>",
    "gpt_oss": "<|return|>",
    "default_system": "<|im_end|>",
    "in_parts": "<|im_end|>",
}


def template_tokenizer(chat_template):
    """Return the tiny tokenizer with the tokens of all templates, `<s>` and `</s>` as begin and end of text."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = chat_template
    tokenizer.add_tokens([AddedToken(token, special=True) for token in SPECIAL], special_tokens=True)
    tokenizer.add_tokens([AddedToken(token, special=False) for token in PLAIN])
    tokenizer.bos_token, tokenizer.eos_token = "<s>", "</s>"
    return tokenizer
