"""Give each recorded row the digest of its recipe by today's rule. Run once: `python redigest.py`.

Nothing is trained again. Rows of `none` are left out: it has a scale and a shift now.
"""

import hashlib
import json

from stages.core.params import decisive, load_params
from stages.core.recipe import TRAINING_VERSION, Recipe
from stages.records.declaration import read_studies
from stages.records.plan import list_trainings
from stages.records.record import read_rows, write_rows
from stages.records.shifted import path_of


def old_digest(recipe: Recipe) -> str:
    train = decisive(recipe.train) | {"dropout": recipe.network.dropout}
    if recipe.network.placement != "after":
        train["placement"] = recipe.network.placement
    for key in ("seed", "threads", "device"):
        del train[key]
    data = decisive(recipe.data) | {"split_seed": recipe.data.split_seed}
    content = json.dumps([data, train, decisive(recipe.own)], sort_keys=True)
    return "r" + hashlib.sha256(content.encode()).hexdigest()[:8]


params = load_params()
for study in read_studies().values():
    arms = {x.arm.recipe.digest: x.arm.recipe for x in list_trainings(study, params)}
    new = {old_digest(recipe): digest for digest, recipe in arms.items()}
    rows = [row for row in read_rows(study.record) if row["model"] != "none"]
    unknown = {row["recipe"] for row in rows} - set(new)
    print(study.name, len(rows), "rows,", len(unknown), "digests of no arm")
    if not rows:
        continue
    version = str(TRAINING_VERSION)
    write_rows(
        study.record,
        [
            row | {"recipe": new.get(row["recipe"], row["recipe"]), "version": version}
            for row in rows
        ],
    )
    if path_of(study).exists():
        text = path_of(study).read_text()
        for old, digest in new.items():
            text = text.replace(f",{old}\n", f",{digest}\n")
        path_of(study).write_text(text)
