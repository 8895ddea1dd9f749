// Chat templates of the formats that nibble knows, written from the formats' facts for the tests:
// they say the same as published ones, in the forms that those have.
#pragma once

namespace nbl::test {

inline constexpr const char* kLlama2Template = R"({% set first = 0 %}
{%- if messages[0]['role'] == 'system' %}{% set first = 1 %}{% endif %}
{%- for message in messages[first:] %}
{%- if loop.index0 == 0 and first == 1 %}
{%- set content = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' + message['content'] %}
{%- else %}{% set content = message['content'] %}{% endif %}
{%- if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
{%- elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}
{%- endfor %})";

inline constexpr const char* kLlama3Template =
    R"({% for message in messages %}{% set part = '<|start_header_id|>' + message['role'] )"
    R"(+ '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %})"
    R"({% if loop.first %}{% set part = bos_token + part %}{% endif %}{{ part }}{% endfor %})"
    R"({% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }})"
    R"({% endif %})";

inline constexpr const char* kLlama31Template = R"({{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{{- "Cutting Knowledge Date: December 2023\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %})";

inline constexpr const char* kQwen25Template = R"({%- if tools %}
    {{- '<|im_start|>system\n' }}
    {{- 'You have tools.' }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) or message.role == "assistant" %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %})";

inline constexpr const char* kSmolLm2Template =
    R"({% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %})"
    R"({{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging )"
    R"(Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + )"
    R"(message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %})"
    R"({{ '<|im_start|>assistant\n' }}{% endif %})";

inline constexpr const char* kChatMlTemplate =
    R"({{bos_token}}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + )"
    R"(message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %})"
    R"({{ '<|im_start|>assistant\n' }}{% endif %})";

inline constexpr const char* kTrimmedChatMlTemplate =
    R"({% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + )"
    R"((message['content'] | trim) + '<|im_end|>' + '\n'}}{% endfor %}{% if )"
    R"(add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})";

// The last answer of a history keeps its thought, earlier ones lose it.
inline constexpr const char* kQwen3Template = R"({%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- if '</think>' in message.content %}
            {%- set content = message.content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\n' + content }}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %})";

inline constexpr const char* kQwen3ThinkingTemplate = R"({%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n<think>\n' }}
{%- endif %})";

inline constexpr const char* kGemma2Template =
    R"({{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role')"
    R"() }}{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %})"
    R"({% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %})"
    R"({{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }})"
    R"({% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %})";

inline constexpr const char* kGemma3Template = R"({{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set prefix = messages[0]['content'] + '\n\n' -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set prefix = "" -%}
    {%- set turns = messages -%}
{%- endif -%}
{%- for message in turns -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\n' + (prefix if loop.first else "") }}
    {{- message['content'] | trim -}}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\n' }}
{%- endif -%})";

inline constexpr const char* kPhi3Template =
    R"({% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\n' + )"
    R"(message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + )"
    R"(message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %})"
    R"({{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %})"
    R"({% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %})";

inline constexpr const char* kPhi4MiniTemplate =
    R"({% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + )"
    R"('<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %})"
    R"({{ eos_token }}{% endif %})";

inline constexpr const char* kPhi4Template =
    R"({% for message in messages %}{% if (message['role'] == 'system') %}{{'<|im_start|>system)"
    R"(<|im_sep|>' + message['content'] + '<|im_end|>'}}{% elif (message['role'] == 'user') %})"
    R"({{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|>'}}{% else %})"
    R"({{'<|im_start|>assistant<|im_sep|>' + message['content'] + '<|im_end|>'}}{% endif %})"
    R"({% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }})"
    R"({% endif %})";

// Line ends between blocks and outputs are part of what it writes.
inline constexpr const char* kZephyrTemplate = R"({% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %})";

inline constexpr const char* kMistral1Template =
    R"({{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %})"
    R"({{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' )"
    R"(%}{{ message['content'] + eos_token + ' ' }}{% else %}{{ raise_exception('no such role') )"
    R"(}}{% endif %}{% endfor %})";

inline constexpr const char* kMistral2Template =
    R"({{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %})"
    R"({{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + )"
    R"(eos_token}}{% endif %}{% endfor %})";

inline constexpr const char* kMistral3Template = R"({%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set turns = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in turns %}
    {%- if message["role"] == "user" %}
        {%- if loop.first and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token }}
    {%- endif %}
{%- endfor %})";

inline constexpr const char* kMistral7Template =
    R"({{- bos_token }}{%- for message in messages %}{%- if message['role'] == 'user' %})"
    R"({{- '[INST]' + message['content'] + '[/INST]' }}{%- elif message['role'] == 'system' %})"
    R"({{- '[SYSTEM_PROMPT]' + message['content'] + '[/SYSTEM_PROMPT]' }}{%- else %})"
    R"({{- message['content'] + eos_token }}{%- endif %}{%- endfor %})";

inline constexpr const char* kDeepSeek3Template =
    "{%- set ns = namespace(system='') %}{%- for message in messages %}"
    "{%- if message['role'] == 'system' %}{% set ns.system = message['content'] %}{%- endif %}"
    "{%- endfor %}{{ bos_token }}{{ ns.system }}{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{{ '<\uff5cUser\uff5c>' + message['content'] }}"
    "{%- elif message['role'] == 'assistant' %}"
    "{{ '<\uff5cAssistant\uff5c>' + message['content'] + '<\uff5cend\u2581of\u2581sentence\uff5c>'"
    " }}{%- endif %}{%- endfor %}"
    "{% if add_generation_prompt %}{{ '<\uff5cAssistant\uff5c>' }}{% endif %}";

inline constexpr const char* kDeepSeekR1Template =
    "{{ bos_token }}{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{{ '<\uff5cUser\uff5c>' + message['content'] }}"
    "{%- elif message['role'] == 'system' %}{{ message['content'] }}"
    "{%- else %}"
    "{{ '<\uff5cAssistant\uff5c>' + message['content'].split('</think>')[-1] + eos_token }}"
    "{%- endif %}{%- endfor %}"
    "{% if add_generation_prompt %}{{ '<\uff5cAssistant\uff5c><think>\\n' }}{% endif %}";

inline constexpr const char* kDeepSeekLlmTemplate =
    R"({{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %})"
    R"({{ 'User: ' + message['content'] + '\n\n' }}{% elif message['role'] == 'assistant' %})"
    R"({{ 'Assistant: ' + message['content'] + eos_token }}{% elif message['role'] == 'system' )"
    R"(%}{{ message['content'] + '\n\n' }}{% endif %}{% endfor %})"
    R"({% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %})";

inline constexpr const char* kDeepSeekCoderTemplate =
    R"({%- set ns = namespace(found=false) -%}{%- for message in messages -%})"
    R"({%- if message['role'] == 'system' -%}{%- set ns.found = true -%}{%- endif -%})"
    R"({%- endfor -%}{{bos_token}}{%- if not ns.found -%}{{'You are an AI programming assistant, )"
    R"(made for tests.\n'}}{%- endif %}{%- for message in messages %})"
    R"({%- if message['role'] == 'system' %}{{ message['content'] }}{%- else %})"
    R"({%- if message['role'] == 'user' %}{{'### Instruction:\n' + message['content'] + '\n'}})"
    R"({%- else %}{{'### Response:\n' + message['content'] + '\n<|EOT|>\n'}}{%- endif %})"
    R"({%- endif %}{%- endfor %}{% if add_generation_prompt %}{{'### Response:'}}{% endif %})";

}  // namespace nbl::test
