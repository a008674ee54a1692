"""Makes models/digits/*.npy: UCI digits in a fixed stratified split of 1,437 rows to train and 360 to test.

    python tests/twin/make_digits.py digits.csv.gz models/digits

digits.csv.gz is the file of scikit-learn (sklearn/datasets/data): 64 pixels and the label a line. Needs NumPy."""
import sys
import numpy as np

SEED = 1
TEST = 360


def split(y, rng):
    """The rows to test on: of every class its share of TEST, chosen and ordered by chance."""
    classes, count = np.unique(y, return_counts=True)
    share = TEST * count / len(y)
    take = np.floor(share).astype(int)
    for k in np.argsort(take - share)[: TEST - take.sum()]:  # the largest remainders
        take[k] += 1
    test = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:n] for c, n in zip(classes, take)])
    return rng.permutation(test)


def main(source, folder):
    table = np.loadtxt(source, delimiter=",")
    x, y = table[:, :64].astype("<f4"), table[:, 64].astype("<i8")
    rng = np.random.Generator(np.random.PCG64(SEED))
    test = split(y, rng)
    train = rng.permutation(np.setdiff1d(np.arange(len(y)), test))
    for name, rows in ("train", train), ("test", test):
        np.save(f"{folder}/{name}_x.npy", x[rows])
        np.save(f"{folder}/{name}_y.npy", y[rows])


main(*sys.argv[1:])
