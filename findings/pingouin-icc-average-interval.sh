#!/usr/bin/env bash
# pingouin 0.7.0 (the same in 0.5.5): the interval of ICC(A,k), average random raters,
# is turned around where the one of the single rater reaches below -1 / (k - 1).
#
# Seen, for four pictures rated by two people (4 4, 2 3, 5 5, 5 2):
#     ICC(A,1)  .21, interval -1.16 to .93
#     ICC(A,k)  .35, interval 14.23 to .96
# The lower limit for k raters is k L / (1 + (k - 1) L) of the lower limit L for one
# (McGraw and Wong 1996). That has a pole at L = -1 / (k - 1), here -1: below it
# the limit comes back from above, larger than the estimate, the upper limit and 1. With
# few raters and pictures it happens often: of 400 random tables of 3 to 7 pictures by two
# raters (0.5.5), 152 rows had an interval without the row's own estimate.
# Whoever reports ICC(2,k) of a small study has to look at the limits before printing.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check \
  pingouin==0.7.0 numpy==2.4.6 pandas==3.1.1 scipy==1.17.1
"$room/venv/bin/python" - <<'PY'
import pandas as pd
import pingouin

ratings = [[4, 4], [2, 3], [5, 5], [5, 2]]
rows = [
    (picture, rater, value)
    for picture, each in enumerate(ratings)
    for rater, value in enumerate(each)
]
table = pingouin.intraclass_corr(
    pd.DataFrame(rows, columns=["picture", "rater", "rating"]),
    targets="picture", raters="rater", ratings="rating",
).set_index("Type")
print(table.to_string())
single, average = (table.loc[kind] for kind in ("ICC(A,1)", "ICC(A,k)"))
assert single["CI95"].tolist() == [-1.16, 0.93], single["CI95"]
assert round(average["ICC"], 2) == 0.35
assert average["CI95"].tolist() == [14.23, 0.96], average["CI95"]
PY
echo "as stated: pingouin 0.7.0, the lower limit of ICC(A,k) is 14.23"
