"""Architectures as evolution leaves them, on a made landscape."""

import numpy as np


def bred(space, number, seed=0, tournament=16, evaluations=1000):
    """The population, all different, that evolution ends with after so many evaluations.

    The landscape is a random score of each candidate of each block, summed. A child has the best of
    a tournament for a parent and a mutation in one block, or two such parents crossed over; it
    takes the place of the worst.
    """
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(space.num_blocks, space.num_candidates))

    def fitness(arch):
        return scores[np.arange(space.num_blocks), list(arch)].sum()

    def parent():
        chosen = rng.choice(len(living), size=tournament, replace=False)
        return np.array(max((living[index] for index in chosen), key=fitness))

    living = list(space.sample(number, rng))
    for _ in range(evaluations - number):
        choices = parent()
        if rng.random() < 0.5:
            choices = np.where(rng.random(space.num_blocks) < 0.5, choices, parent())
        else:
            block = rng.integers(space.num_blocks)
            shift = rng.integers(1, space.num_candidates)
            choices[block] = (choices[block] + shift) % space.num_candidates
        arch = space.arch(choices.tolist())
        if arch not in living:
            living.append(arch)
            living.remove(min(living, key=fitness))
    return living
