"""Job documents for the parser's tests."""

from __future__ import annotations

import copy
from typing import Any

Document = dict[str, Any]

_DSL: Document = {
    "components": {
        "read_0": {
            "module": "Read",
            "input": {"data": {"data": ["args.train_data"]}},
            "output": {"data": ["train"], "model": ["reader"]},
        },
        "sample_0": {
            "module": "Sample",
            "input": {"data": {"data": ["read_0.train"]}},
            "output": {"data": ["sampled"]},
        },
        "learn_0": {
            "module": "Learn",
            "input": {"data": {"train_data": ["sample_0.sampled"]}},
            "output": {"data": ["scores"], "model": ["learned"]},
        },
        "judge_0": {"module": "Judge", "input": {"data": {"data": ["learn_0.scores"]}}},
    }
}

_CONF: Document = {
    "initiator": {"role": "guest", "party_id": 9999},
    "job_parameters": {"work_mode": 0},
    "role": {"guest": [9999], "host": [10000, 10001], "arbiter": [10000]},
    "role_parameters": {
        "guest": {
            "args": {"data": {"train_data": [{"name": "g", "namespace": "exp"}]}},
            "read_0": {"with_label": [True], "label_name": ["label"]},
        },
        "host": {
            "args": {
                "data": {
                    "train_data": [
                        {"name": "h0", "namespace": "exp"},
                        {"name": "h1", "namespace": "exp"},
                    ]
                }
            },
            "learn_0": {"alpha": [0.1, 0.2], "init_param": {"random_seed": [1, 2]}},
            "judge_0": {"need_run": [False, True]},
        },
    },
    "algorithm_parameters": {
        "learn_0": {"max_iter": 7, "options": {"b": 2}, "init_param": {"init_method": "CONST"}}
    },
}


def dsl() -> Document:
    return copy.deepcopy(_DSL)


def conf() -> Document:
    return copy.deepcopy(_CONF)
