"""What the description says of each body that is read as a document: its schema, and examples of it."""

from typing import Any, Final

from service import illustration

Json = dict[str, Any]

SPEC_BODY: Final[Json] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/JobSpec"},
                "examples": illustration.of_specs(),
            }
        },
    }
}

RETRY_BODY: Final[Json] = {
    "requestBody": {
        "required": False,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Retry"},
                "examples": {
                    "last": {"summary": "Where it stopped; an empty body means the same", "value": {"begin": "last"}},
                    "start": {"summary": "Anew", "value": {"begin": "start"}},
                    "anywhere": {"summary": "Where it stopped, on whatever machine there is", "value": {"resume": "anywhere"}},
                },
            }
        },
    }
}

EXTENSION_BODY: Final[Json] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Extension"}, "example": {"epochs": 5}}},
    }
}

PIN_BODY: Final[Json] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pin"}, "example": {"pinned": True}}},
    }
}

AMENDMENT_BODY: Final[Json] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {
                "schema": {"$ref": "#/components/schemas/Change"},
                "example": {"name": "fashion-l1-again", "metadata": {"team": "vision"}, "priority": 5},
            }
            for kind in ("application/merge-patch+json", "application/json")
        },
    }
}

CANCEL_BODY: Final[Json] = {
    "requestBody": {
        "required": False,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Cancel"}, "example": {"mode": "graceful"}}},
    }
}

CLONE_BODY: Final[Json] = {
    "requestBody": {
        "required": False,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Clone"},
                "examples": {
                    "overrides": {
                        "summary": "The same with a stronger penalty",
                        "value": {"overrides": {"name": "stronger", "penalties": [{"kind": "l1", "lambda": 1e-4}]}},
                    },
                    "init_from": {
                        "summary": "From its best weights, with another optimizer",
                        "value": {"init_from": "best", "overrides": {"optimizer": {"kind": "sgd", "lr": 0.01}}},
                    },
                    "extend_epochs": {"summary": "On from where it ended", "value": {"extend_epochs": 5}},
                },
            }
        },
    }
}

BATCH_BODY: Final[Json] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Choice"},
                "examples": {
                    "ids": {"summary": "These", "value": {"ids": ["job_01kaj3v2m4n5p6q7r8s9t0v1w2"]}},
                    "filter": {"summary": "Up to 100 of those", "value": {"status": ["queued"], "label": {"team": "vision"}}},
                },
            }
        },
    }
}
