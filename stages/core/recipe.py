"""What makes two trainings comparable: the same recipe, whatever the seed and the machine."""

import hashlib
import json

from stages.core.params import Params


def recipe_digest(model: str, params: Params) -> str:
    """Return eight characters for all parameters that decide ``model``'s accuracy but the seed."""
    content = params.model_dump()
    for key in ("seed", "threads", "device"):
        del content["train"][key]
    decisive = [content["data"], content["train"], content["models"][model]]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:8]
